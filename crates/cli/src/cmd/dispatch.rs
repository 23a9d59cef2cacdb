//! `switchboard dispatch`: sends one event, as a backend.

use anyhow::anyhow;
use serde_json::json;
use switchboard_dispatcher::{Dispatched, Message, Target};

use crate::args::Dispatch;
use crate::cmd::data::json_or_text;
use crate::output::{Failure, counted};
use crate::streams::print_line;

/// Sends the event, and prints how many inboxes or sockets it reached, as far as that is known.
pub(crate) async fn run(dispatch: &Dispatch) -> Result<(), Failure> {
    match &dispatch.connection.url {
        Some(url) => {
            let body = body(dispatch).map_err(Failure::Usage)?;
            let answer = dispatch.connection.request(url, "dispatch", body).await?;
            match (answer["inboxes"].as_u64(), answer["sockets_here"].as_u64()) {
                (Some(inboxes), _) => print_stored(inboxes, answer["evicted"].as_u64().unwrap_or(0)),
                (None, sockets) => print_line(reached(sockets.unwrap_or(0), url)),
            }
        }
        None => match through_redis(dispatch).await? {
            Dispatched { inboxes: Some(inboxes), evicted, .. } => {
                print_stored(inboxes as u64, evicted as u64)
            }
            _ => print_line("published through Redis; how many sockets receive it is not known"),
        },
    }
    Ok(())
}

fn print_stored(inboxes: u64, evicted: u64) {
    let stored = format!("stored in {}", counted(inboxes, "inbox", "inboxes"));
    match evicted {
        0 => print_line(stored),
        many => {
            print_line(format_args!("{stored}; evicted {}", counted(many, "older message", "older messages")))
        }
    }
}

/// The API counts the sockets of its own node only.
fn reached(sockets: u64, url: &str) -> String {
    let sockets = counted(sockets, "socket", "sockets");
    format!(
        "sent to {sockets} of the node at {url}; sockets of other nodes, if there are any, are not counted"
    )
}

async fn through_redis(dispatch: &Dispatch) -> Result<Dispatched, Failure> {
    let message = message(dispatch).map_err(Failure::Usage)?;
    let audience = dispatch.recipients.audience().map_err(Failure::Usage)?;
    let only_users = audience.to.iter().chain(&audience.except).all(|to| matches!(to, Target::User(_)));
    if dispatch.sync && !only_users {
        return Err(Failure::Usage(anyhow!(
            "--sync stores messages for users only; leave it out, or use --to-user and --except-user"
        )));
    }
    let dispatcher = dispatch.connection.dispatcher(dispatch.sync).await?;
    dispatcher.send(&message, audience).await.map_err(|error| Failure::Run(error.into()))
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
