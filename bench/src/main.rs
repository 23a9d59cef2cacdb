//! `switchboard-bench`: loads an emit, Socket.IO, Koji or Mesa server and reports the cost to the server.
//!
//! The generator does not parse received messages while it measures. It counts frames by their headers, so one core of
//! generator can load a server on another core. Cost is the CPU time of the server's process, which is steadier than
//! the clock on a shared machine.

mod clock;
mod cost;
mod dispatch;
mod fairness;
mod frame_parser;
mod joins;
mod member_lists;
mod options;
mod peer;
mod process;
mod protocol;
mod redis;
mod redis_alone;
mod report;
mod room;
mod rooms;
mod scenario;
mod step_costs;
mod stream;
mod text;
mod wait;

use clap::Parser;

use options::{Options, Scenario};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    stream::configure(&options);
    let report = match options.scenario {
        Scenario::RedisAlone => redis_alone::run(&options).await?,
        _ => scenario::run(&options, cost::Meters::new(&options)?).await?,
    };
    match options.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{report}"),
    }
    Ok(())
}
