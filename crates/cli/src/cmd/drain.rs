//! `switchboard drain`: sends the clients of a node to other nodes.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::api_client::Call;
use crate::args::Drain;
use crate::output::{Failure, counted, print_json};
use crate::streams::print_line;

/// How often the node is asked for the connections that are left.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Begins or cancels the drain, and prints how many connections are left.
pub(crate) async fn run(drain: &Drain) -> Result<(), Failure> {
    let mut body = json!({ "cancel": drain.cancel });
    if let Some(window) = drain.window {
        body["window_ms"] = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).into();
    }
    let client = drain.api.client()?;
    loop {
        let answer = client.call(Call::post(&["drain"], body.to_string())).await?;
        let is_last = !drain.wait || answer["connections"] == 0;
        if is_last {
            print(drain, &answer);
            return Ok(());
        }
        if answer["draining"] == false {
            return Err(Failure::Run(anyhow!("the node is not draining, because it stops")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn print(drain: &Drain, answer: &Value) {
    if drain.api.json {
        return print_json(&answer.to_string());
    }
    let connections = counted(answer["connections"].as_u64().unwrap_or(0), "connection", "connections");
    let moving = &answer["moving"];
    match answer["draining"] == true {
        true => print_line(format_args!("draining; {connections} left, {moving} of them move by themselves")),
        false => print_line(format_args!("not draining; {connections}")),
    }
}
