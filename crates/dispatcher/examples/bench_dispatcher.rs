//! Sends each input line as the data of a message to the users 0, 1, …, for the measurement `bench/mesa/run`.
//!
//! `bench_dispatcher REDIS USERS [sync]`

use std::error::Error;
use std::sync::Arc;

use switchboard_dispatcher::{Dispatcher, DispatcherOptions, Message};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::task::JoinSet;

type Done<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [redis, users, flags @ ..] = &*arguments else {
        return Err("usage: bench_dispatcher REDIS USERS [sync]".into());
    };
    let options = DispatcherOptions {
        sync: flags.iter().any(|flag| flag == "sync"),
        ..DispatcherOptions::new(&format!("redis://{redis}"))
    };
    let dispatcher = Arc::new(Dispatcher::with_options(options).await?);
    let users: Arc<[String]> = (0..users.parse::<usize>()?).map(|user| user.to_string()).collect();
    println!("ready");
    let mut in_flight = JoinSet::new();
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let message = Message::parse(0, &line, "/message")?;
        let (dispatcher, users) = (dispatcher.clone(), users.clone());
        // Like the legacy Dispatcher, which does not wait for a response before it sends the next line.
        in_flight.spawn(async move {
            if let Err(error) = dispatcher.dispatch(&message, &users).await {
                eprintln!("{error}");
            }
        });
        while in_flight.try_join_next().is_some() {}
    }
    Ok(())
}
