//! Sends each line, the data of a message, to users 0, 1, …, as `bench/mesa/run` measures it.
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
    let [redis, users, more @ ..] = &*arguments else {
        return Err("usage: bench_dispatcher REDIS USERS [sync]".into());
    };
    let options = DispatcherOptions {
        sync: more.iter().any(|word| word == "sync"),
        ..DispatcherOptions::new(&format!("redis://{redis}"))
    };
    let dispatcher = Arc::new(Dispatcher::with_options(options).await?);
    let users: Arc<[String]> = (0..users.parse::<usize>()?).map(|user| user.to_string()).collect();
    println!("ready");
    let mut under_way = JoinSet::new();
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let message = Message::parse(0, &line, "/message")?;
        let (dispatcher, users) = (dispatcher.clone(), users.clone());
        // As the original does: the next line does not wait for the answer to this one.
        under_way.spawn(async move {
            if let Err(error) = dispatcher.dispatch(&message, &users).await {
                eprintln!("{error}");
            }
        });
        while under_way.try_join_next().is_some() {}
    }
    Ok(())
}
