//! `switchboard tail`: prints every event from a server, one per line.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use switchboard_client::{Client, EmitError, RequestError};
use tokio::sync::mpsc;

use crate::args::Tail;
use crate::cmd::address::{trusting, websocket, without_query};
use crate::output::{eprint_json, print_json, refusal};

/// Prints `{"event":…,"data":…}` lines until Ctrl-C, until the reader of the lines is gone, or until the client stops
/// reconnecting.
pub(crate) async fn run(tail: &Tail) -> anyhow::Result<()> {
    let options = trusting(tail.root_certificate.as_deref())?.with_reconnect(true);
    let url = websocket(&tail.url);
    let client = Client::connect_with(&url, options)
        .await
        .with_context(|| format!("cannot reach {}", without_query(&url)))?;
    client.on("@any", |event| print_json(&format!("{event:?}")));
    client.on("@error", |error| eprint_json(&format!("{error:?}")));
    // Capacity 1 is enough: two pending reconnections need one round of joins.
    let (again, mut reconnected) = mpsc::channel(1);
    client.on("@reconnect", move |_| {
        let _ = again.try_send(());
    });
    loop {
        match join(&client, &tail.rooms).await {
            // The next round joins all rooms again, over the next connection.
            Err(RequestError::Disconnected | RequestError::Emit(EmitError::Disconnected)) => {}
            joined => joined.map_err(refusal)?,
        }
        tokio::select! {
            _ = reconnected.recv() => {}
            _ = tokio::signal::ctrl_c() => break,
            () = client.ended() => bail!("the connection ended and the client does not reconnect"),
        }
    }
    client.close().await;
    Ok(())
}

async fn join(client: &Client, rooms: &[String]) -> Result<(), RequestError> {
    for room in rooms {
        let _: Value = client.request("/join", &json!({ "room": room })).await?;
    }
    Ok(())
}
