//! Load scenarios against any emit, Socket.IO, Koji or Mesa server, and what they cost it.
//!
//! While it measures, the generator parses nothing of what it receives: it counts frames by their headers, so that one
//! core can load a server of another. Cost is CPU time of the server's process, which is steadier
//! than the clock on a machine that does other things too.

mod bare;
mod clock;
mod cost;
mod dispatch;
mod fairness;
mod joins;
mod peer;
mod process;
mod protocol;
mod redis;
mod report;
mod room;
mod rooms;
mod roster;
mod scenario;
mod steps;
mod text;
mod wait;
mod walk;

pub use protocol::Protocol;
pub use report::Report;

/// Which scenario, and how large.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// What is done to the server.
    #[arg(value_enum)]
    pub scenario: Scenario,
    /// The server's address, such as 127.0.0.1:3000; if it is many nodes, those of all, with commas:
    /// connections are spread evenly over them.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_delimiter = ',')]
    pub server: Vec<std::net::SocketAddr>,
    /// One more node, which has one connection in no room. What it uses is told apart.
    #[arg(long, value_name = "ADDRESS")]
    pub other: Option<std::net::SocketAddr>,
    /// The one who sends is at the other node.
    #[arg(long, requires = "other")]
    pub from_other: bool,
    /// The Redis between the nodes, which nobody else uses. What it does is told too.
    #[arg(long, value_name = "ADDRESS")]
    pub redis: Option<std::net::SocketAddr>,
    /// What the server speaks.
    #[arg(long, value_enum, default_value_t = Protocol::Emit)]
    pub protocol: Protocol,
    /// The server's process, if it is one and not the one that listens on the port.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Receivers or connections; each scenario has its own default.
    #[arg(long)]
    pub connections: Option<usize>,
    /// Messages, or changes, per second; each scenario has its own default.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Messages under way at the same time.
    #[arg(long, default_value_t = 8)]
    pub window: usize,
    /// Bytes of a message's data.
    #[arg(long, default_value_t = 128)]
    pub bytes: usize,
    /// Other rooms that exist meanwhile.
    #[arg(long, default_value_t = 0)]
    pub rooms: usize,
    /// Connections outside the measured room meanwhile.
    #[arg(long, default_value_t = 0)]
    pub outside: usize,
    /// `rooms`: all of a room are at one node.
    #[arg(long)]
    pub together: bool,
    /// Koji: clients are told what changes in the list of their shard, not the list.
    #[arg(long)]
    pub changes: bool,
    /// `dispatch`: what sends, a command and its arguments. It is given the data of one message a line, and
    /// sends each to all connections.
    #[arg(long, value_name = "COMMAND")]
    pub dispatcher: Option<String>,
    /// `dispatch`: a file of tokens, one a line, with which connections log in. Each is another user's.
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<std::path::PathBuf>,
    /// `dispatch`: one keeps a window of messages under way, in place of so many a second.
    #[arg(long)]
    pub closed: bool,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What is done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// One sends at a rate, many receive.
    FanOut,
    /// One keeps a window of messages under way to many.
    FanOutClosed,
    /// Every connection asks again as soon as it is answered.
    Echo,
    /// Connections that do nothing.
    Idle,
    /// Connect, shake hands, close.
    Churn,
    /// One asks while a fan-out goes on beside it.
    Fairness,
    /// Many connect and stay; Koji clients are put on shards.
    Joins,
    /// One of a Koji shard says something else of itself again and again.
    Roster,
    /// Many small rooms, in each of which one sends in its turn.
    Rooms,
    /// One after another connects, joins a room, leaves it and closes: what Redis does for each.
    Steps,
    /// A process that is no server sends to many users, each of whom has one connection.
    Dispatch,
    /// One publishes to Redis and one subscribes there, without a server.
    Bare,
}

/// Runs a scenario.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    match options.scenario {
        Scenario::Bare => bare::run(options).await,
        _ => scenario::run(options, cost::Meters::new(options)?).await,
    }
}
