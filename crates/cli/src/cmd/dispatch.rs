//! `switchboard dispatch`: sends one event, as a backend.

use anyhow::anyhow;
use serde_json::json;
use switchboard_dispatcher::{Message, Target};

use crate::args::Dispatch;
use crate::cmd::data::json_or_text;
use crate::output::Failure;
use crate::streams::print_line;

/// Sends the event; with `--sync` prints the number of inboxes that store it.
pub(crate) async fn run(dispatch: &Dispatch) -> Result<(), Failure> {
    let inboxes = match &dispatch.connection.url {
        Some(url) => {
            let body = body(dispatch).map_err(Failure::Usage)?;
            dispatch.connection.request(url, "dispatch", body).await?["inboxes"].as_u64()
        }
        None => through_redis(dispatch).await?,
    };
    if let Some(inboxes) = inboxes {
        print_line(format_args!("stored in {inboxes} {}", if inboxes == 1 { "inbox" } else { "inboxes" }));
    }
    Ok(())
}

async fn through_redis(dispatch: &Dispatch) -> Result<Option<u64>, Failure> {
    let message = message(dispatch).map_err(Failure::Usage)?;
    let audience = dispatch.recipients.audience().map_err(Failure::Usage)?;
    let only_users = audience.to.iter().chain(&audience.except).all(|to| matches!(to, Target::User(_)));
    if dispatch.sync && !only_users {
        return Err(Failure::Usage(anyhow!(
            "--sync stores messages for users only; leave it out, or use --to-user and --except-user"
        )));
    }
    let dispatcher = dispatch.connection.dispatcher(dispatch.sync).await?;
    let sent = dispatcher.send(&message, audience).await.map_err(|error| Failure::Run(error.into()))?;
    Ok(sent.inboxes.map(|inboxes| inboxes as u64))
}

fn message(dispatch: &Dispatch) -> anyhow::Result<Message> {
    let Dispatch { op, data, kind, .. } = dispatch;
    Ok(Message::parse(*op, json_or_text(data)?.get(), kind)?)
}

fn body(dispatch: &Dispatch) -> anyhow::Result<String> {
    let data = json_or_text(&dispatch.data)?;
    let rest = json!({ "type": dispatch.kind, "op": dispatch.op, "sync": dispatch.sync });
    let rest = dispatch.connection.body(&dispatch.recipients, rest)?;
    // Inserted unparsed, because JSON numbers may exceed the range of f64.
    Ok(format!("{{\"data\":{data},{}", &rest[1..]))
}
