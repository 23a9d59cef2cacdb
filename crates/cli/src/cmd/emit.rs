//! `switchboard emit`: sends one event, as a client.

use anyhow::Context;
use serde_json::Value;
use switchboard_client::Client;

use crate::args::Emit;
use crate::output::{print_json, refusal};

/// Sends the event; with `--request` prints the reply.
pub(crate) async fn run(emit: &Emit) -> anyhow::Result<()> {
    let data = serde_json::from_str(&emit.data).unwrap_or_else(|_| Value::from(emit.data.as_str()));
    let client = Client::connect(&emit.url).await.with_context(|| format!("cannot reach {}", emit.url))?;
    if emit.request {
        let reply: Value = client.request(&emit.event, &data).await.map_err(refusal)?;
        print_json(&reply.to_string());
    } else {
        client.emit(&emit.event, &data).await?;
    }
    client.close().await;
    Ok(())
}
