//! `switchboard tail`: every event a server sends, a line each.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use switchboard_client::{Client, Options};
use tokio::sync::mpsc;

use crate::args::Tail;

/// Prints `{"event":…,"data":…}` lines until Ctrl-C, or until the server is gone for good.
pub(crate) async fn run(tail: &Tail) -> anyhow::Result<()> {
    let options = Options::default().with_reconnect(true);
    let client = Client::connect_with(&tail.url, options)
        .await
        .with_context(|| format!("cannot reach {}", tail.url))?;
    client.on("@any", |event| println!("{event:?}"));
    client.on("@error", |error| eprintln!("{error:?}"));
    // One place is enough: a second reconnection finds the first not yet looked at.
    let (again, mut reconnected) = mpsc::channel(1);
    client.on("@reconnect", move |_| {
        let _ = again.try_send(());
    });
    loop {
        for room in &tail.rooms {
            let _: Value = client.request("/join", &json!({ "room": room })).await?;
        }
        tokio::select! {
            _ = reconnected.recv() => {}
            _ = tokio::signal::ctrl_c() => break,
            () = client.ended() => bail!("the server is gone"),
        }
    }
    client.close().await;
    Ok(())
}
