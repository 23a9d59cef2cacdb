//! `switchboard emit`: sends one event, as a client.

use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::value::RawValue;
use switchboard_client::{Client, NO_HANDLER, RefusedEvent, RequestError};
use tokio::sync::mpsc;

use crate::args::Emit;
use crate::cmd::address::{trusting, websocket, without_query};
use crate::cmd::data::json_or_text;
use crate::output::{print_json, refusal};

/// Sends the event; with `--request` prints the reply. An error if the server refuses it.
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
        send(&client, &emit.event, &data).await?;
    }
    Ok(())
}

/// How long a refusal is waited for. A server sends that of a handler that does not wait at once.
const REFUSAL_WAIT: Duration = Duration::from_millis(250);

/// Sends the event and closes the connection. An error if the server refuses the event in time.
async fn send(client: &Client, event: &str, data: &RawValue) -> anyhow::Result<()> {
    let (refuse, mut refused) = mpsc::channel(1);
    client.on_data("@refused", move |refused: RefusedEvent| {
        let _ = refuse.try_send(refused);
    });
    let sent = client.emit(event, data).await;
    let refusal = tokio::time::timeout(REFUSAL_WAIT, refused.recv()).await.ok().flatten();
    client.close().await;
    sent?;
    // One may have arrived during the close.
    match refusal.or_else(|| refused.try_recv().ok()) {
        Some(RefusedEvent { code, error, .. }) => {
            Err(explain(RequestError::Refused { code, message: error }, event))
        }
        None => Ok(()),
    }
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
