//! `switchboard emit`: sends one event, as a client.

use anyhow::{Context, anyhow};
use serde_json::value::RawValue;
use switchboard_client::{Client, NO_HANDLER, RequestError};

use crate::args::Emit;
use crate::cmd::address::{trusting, websocket, without_query};
use crate::cmd::data::json_or_text;
use crate::output::{print_json, refusal};

/// Sends the event; with `--request` prints the reply.
pub(crate) async fn run(emit: &Emit) -> anyhow::Result<()> {
    let (data, url) = (json_or_text(&emit.data)?, websocket(&emit.url));
    let options = trusting(emit.root_certificate.as_deref())?;
    let client = Client::connect_with(&url, options)
        .await
        .with_context(|| format!("cannot reach {}", without_query(&url)))?;
    if emit.request {
        // Printed unparsed, because JSON numbers may exceed the range of f64.
        let reply = client.request::<Box<RawValue>>(&emit.event, &data).await;
        // Also after a refusal, so that the server does not see a broken connection.
        client.close().await;
        print_json(reply.map_err(|error| explain(error, &emit.event))?.get());
    } else {
        let sent = client.emit(&emit.event, &data).await;
        client.close().await;
        sent?;
    }
    Ok(())
}

/// The events of a server without code of its own.
const BUILT_IN: [&str; 4] = ["/join", "/leave", "/message", "/ping"];

/// Turns an error of the server into that of the command. If the event has no handler, it suggests a similar one.
fn explain(error: RequestError, event: &str) -> anyhow::Error {
    let is_unknown = matches!(&error, RequestError::Refused { code, .. } if code == NO_HANDLER);
    let similarity = |known: &&str| strsim::jaro(known, event);
    let nearest = BUILT_IN.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let error = refusal(error);
    match nearest.filter(|nearest| is_unknown && similarity(nearest) > 0.8 && *nearest != event) {
        Some(nearest) => anyhow!("{error}\n\nhint: did you mean `{nearest}`?"),
        None => error,
    }
}
