//! The commands of the HTTP API: each calls the endpoint of its name and prints the answer.

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, anyhow};
use reqwest::Method;
use serde_json::{Value, json};
use switchboard_log::Printable;

use super::api_client::{ApiClient, Call};
use super::data::json_or_text;
use super::table::{Table, cell};
use super::{explain, history, revoke};
use crate::args::Recipients;
use crate::args::api::{Api, ApiCommand, Request, SendEvent};
use crate::output::{Failure, print_json};
use crate::streams::{print_error_line, print_line};

/// Entries that a list is asked for at once.
const PAGE: &str = "1000";

/// Runs a command.
pub(crate) async fn run(command: &ApiCommand) -> Result<(), Failure> {
    match command {
        ApiCommand::Send(send) => send_event(send).await,
        ApiCommand::Request(request) => request_replies(request).await,
        ApiCommand::Join(change) => {
            post(&change.api, "join", &change.recipients, json!({ "room": change.room })).await
        }
        ApiCommand::Leave(change) => {
            post(&change.api, "leave", &change.recipients, json!({ "room": change.room })).await
        }
        ApiCommand::Tag(change) => {
            post(&change.api, "tag", &change.recipients, json!({ "tag": change.tag })).await
        }
        ApiCommand::Untag(change) => {
            post(&change.api, "untag", &change.recipients, json!({ "tag": change.tag })).await
        }
        ApiCommand::Batch(batch) => run_batch(&batch.api, &batch.file).await,
        ApiCommand::Rooms(rooms) => {
            list(&rooms.api, &["rooms"], &[("prefix", rooms.prefix.as_str())], "rooms").await
        }
        ApiCommand::Room(room) => get(&room.api, &["rooms", &room.room]).await,
        ApiCommand::Members(room) => list(&room.api, &["rooms", &room.room, "members"], &[], "sockets").await,
        ApiCommand::History(of) => history::run(of).await,
        ApiCommand::Revoke(tokens) => revoke::run(tokens).await,
        ApiCommand::Traces(api) => whole_list(api, &["traces"], "traces").await,
        ApiCommand::Explain(message) => explain::run(message).await,
        ApiCommand::Users(api) => list(api, &["users"], &[], "users").await,
        ApiCommand::User(user) => get(&user.api, &["users", &user.user]).await,
        ApiCommand::Sockets(sockets) => {
            let address = sockets.address.map(|address| address.to_string());
            let details = sockets.details.then(|| "true".to_owned());
            let of = [
                ("user", &sockets.user),
                ("room", &sockets.room),
                ("tag", &sockets.tag),
                ("shard", &sockets.shard),
                ("address", &address),
                ("protocol", &sockets.protocol),
                ("details", &details),
            ];
            let of: Vec<(&str, &str)> =
                of.iter().filter_map(|(kind, name)| Some((*kind, name.as_deref()?))).collect();
            list(&sockets.api, &["sockets"], &of, "sockets").await
        }
        ApiCommand::Socket(socket) => get(&socket.api, &["sockets", &socket.socket.to_string()]).await,
        ApiCommand::Shards(api) => list(api, &["shards"], &[], "shards").await,
        ApiCommand::Shard(shard) => whole_list(&shard.api, &["shards", &shard.shard], "clients").await,
        ApiCommand::Inbox(inbox) if inbox.clear => clear(&inbox.api, &inbox.user).await,
        ApiCommand::Inbox(inbox) => list(&inbox.api, &["inbox", &inbox.user], &[], "messages").await,
        ApiCommand::Nodes(api) => whole_list(api, &["nodes"], "nodes").await,
        ApiCommand::Info(api) => get(api, &["info"]).await,
        ApiCommand::Keys(api) => whole_list(api, &["keys"], "keys").await,
        ApiCommand::Reload(api) => {
            let answer = api.client()?.call(Call::post(&["reload"], "{}".to_owned())).await?;
            api.print(&answer);
            Ok(())
        }
    }
}

impl Api {
    pub(super) fn client(&self) -> Result<ApiClient<'_>, Failure> {
        ApiClient::new(&self.url, self.key.as_deref(), &self.certificates)
    }

    /// The project as a parameter, if there is one.
    pub(super) fn parameters(&self) -> Vec<(&str, &str)> {
        self.project.iter().map(|project| ("project", &**project)).collect()
    }

    /// A body with the recipients and the project. `data` is inserted unparsed, because JSON numbers may exceed the range
    /// of f64.
    fn body(&self, recipients: &Recipients, mut body: Value, data: Option<&str>) -> Result<String, Failure> {
        recipients.add_to(&mut body).map_err(Failure::Usage)?;
        if let Some(project) = &self.project {
            body["project"] = project.as_str().into();
        }
        let body = body.to_string();
        Ok(match data {
            Some(data) => format!("{{\"data\":{data},{}", &body[1..]),
            None => body,
        })
    }

    /// Prints an answer: a line for each member but the time of the answer.
    pub(super) fn print(&self, value: &Value) {
        match value {
            value if self.json => print_json(&value.to_string()),
            Value::Object(members) => {
                members.iter().filter(|(name, _)| *name != "as_of_ms").for_each(|(name, value)| {
                    print_line(format_args!("{}: {}", Printable(name), cell(value)));
                });
            }
            value => print_line(cell(value)),
        }
    }

    /// Calls an endpoint and prints a list that has no pages.
    pub(super) async fn print_list(&self, call: Call<'_>, name: &str) -> Result<(), Failure> {
        let answer = self.client()?.call(call).await?;
        Table::new(self.json).print(entries(&answer, name));
        Ok(())
    }
}

fn entries<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

async fn send_event(send: &SendEvent) -> Result<(), Failure> {
    let data = json_or_text(&send.data).map_err(|error| Failure::Usage(error.into()))?;
    let policy = if send.volatile { "volatile" } else { "live" };
    let body = json!({ "event": send.event, "inbox": send.inbox, "policy": policy, "count": send.count, "trace": send.trace });
    let body = send.api.body(&send.recipients, body, Some(data.get()))?;
    let answer = send.api.client()?.call(Call::post(&["send"], body)).await?;
    send.api.print(&answer);
    reached_all(&answer)
}

async fn post(api: &Api, endpoint: &str, recipients: &Recipients, body: Value) -> Result<(), Failure> {
    let body = api.body(recipients, body, None)?;
    let answer = api.client()?.call(Call::post(&[endpoint], body)).await?;
    api.print(&answer);
    reached_all(&answer)
}

/// Fails if the answer says that other nodes were not reached.
fn reached_all(answer: &Value) -> Result<(), Failure> {
    match answer["degraded"] == true {
        true => Err(Failure::Run(anyhow!("other nodes were not reached, because Redis is down"))),
        false => Ok(()),
    }
}

async fn request_replies(request: &Request) -> Result<(), Failure> {
    let data = json_or_text(&request.data).map_err(|error| Failure::Usage(error.into()))?;
    let timeout_ms = request.timeout.as_millis() as u64;
    let body = json!({ "event": request.event, "timeout_ms": timeout_ms, "stream": true });
    let body = request.api.body(&request.recipients, body, Some(data.get()))?;
    let call = Call { waits: request.timeout, ..Call::post(&["request"], body) };
    let mut response = request.api.client()?.send(call).await?;
    let (mut buffer, mut table) = (Vec::new(), Table::new(request.api.json));
    loop {
        let chunk = response.chunk().await.context("the replies ended early").map_err(Failure::Run)?;
        let Some(chunk) = chunk else { return Ok(()) };
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            print_reply(&mut table, request.api.json, &String::from_utf8_lossy(&line));
        }
    }
}

fn print_reply(table: &mut Table, as_json: bool, line: &str) {
    match serde_json::from_str::<Value>(line) {
        Ok(reply) if !as_json => table.print(&[reply]),
        // Printed unparsed, because JSON numbers may exceed the range of f64.
        _ => print_json(line.trim_end()),
    }
}

async fn run_batch(api: &Api, file: &Path) -> Result<(), Failure> {
    let read = match file == Path::new("-") {
        true => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(file),
    };
    let body = read.with_context(|| format!("cannot read {}", file.display())).map_err(Failure::Usage)?;
    let answer = api.client()?.call(Call::post(&["batch"], body)).await?;
    let results = entries(&answer, "results");
    Table::new(api.json).print(results);
    match results.iter().filter(|result| result["status"] != 200).count() {
        0 => Ok(()),
        failed => Err(Failure::Run(anyhow!("{failed} of {} calls failed", results.len()))),
    }
}

async fn get(api: &Api, path: &[&str]) -> Result<(), Failure> {
    let answer = api.client()?.call(Call::get(path, &api.parameters())).await?;
    api.print(&answer);
    Ok(())
}

/// Prints a list that has no pages.
async fn whole_list(api: &Api, path: &[&str], name: &str) -> Result<(), Failure> {
    api.print_list(Call::get(path, &api.parameters()), name).await
}

/// Prints all pages of a list.
async fn list(api: &Api, path: &[&str], filter: &[(&str, &str)], name: &str) -> Result<(), Failure> {
    let client = api.client()?;
    let (mut after, mut table): (Option<String>, _) = (None, Table::new(api.json));
    loop {
        let mut query = api.parameters();
        query.extend(filter.iter().filter(|(_, value)| !value.is_empty()));
        query.push(("limit", PAGE));
        query.extend(after.iter().map(|after| ("after", &**after)));
        let answer = client.call(Call::get(path, &query)).await?;
        table.print(entries(&answer, name));
        for node in entries(&answer, "unanswered") {
            print_error_line(format_args!("node {} did not answer, so its entries are missing", cell(node)));
        }
        match answer["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(()),
        }
    }
}

async fn clear(api: &Api, user: &str) -> Result<(), Failure> {
    let (path, parameters) = (["inbox", user], api.parameters());
    let call = Call { method: Method::DELETE, ..Call::get(&path, &parameters) };
    api.client()?.call(call).await?;
    print_line("removed");
    Ok(())
}
