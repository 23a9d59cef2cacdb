//! `switchboard emit`: sends one event, as a client.

use anyhow::Context;
use serde_json::value::RawValue;
use switchboard_client::Client;

use crate::args::Emit;
use crate::cmd::data::json_or_text;
use crate::output::{print_json, refusal};

/// Sends the event; with `--request` prints the reply.
pub(crate) async fn run(emit: &Emit) -> anyhow::Result<()> {
    let data = json_or_text(&emit.data)?;
    let client = Client::connect(&emit.url).await.with_context(|| format!("cannot reach {}", emit.url))?;
    if emit.request {
        // Printed unparsed, because JSON numbers may exceed the range of f64.
        let reply: Box<RawValue> = client.request(&emit.event, &data).await.map_err(refusal)?;
        print_json(reply.get());
    } else {
        client.emit(&emit.event, &data).await?;
    }
    client.close().await;
    Ok(())
}
