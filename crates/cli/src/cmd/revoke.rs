//! `switchboard revoke`: revokes tokens, as a backend.

use anyhow::anyhow;
use serde_json::json;

use crate::args::api::Revoke;
use crate::cmd::api_client::Call;
use crate::output::{Failure, counted};
use crate::streams::print_line;

/// Revokes the tokens, and prints the store of the revocation.
pub(crate) async fn run(revoke: &Revoke) -> Result<(), Failure> {
    let Revoke { tokens, users, issued_before, expires, api } = revoke;
    let url = &api.url;
    let mut body = json!({ "tokens": tokens, "users": users });
    for (field, value) in [("issued_before", issued_before), ("expires", expires)] {
        if let Some(seconds) = value {
            body[field] = (*seconds).into();
        }
    }
    if let Some(project) = &api.project {
        body["project"] = project.as_str().into();
    }
    let answer = api.client()?.call(Call::post(&["tokens", "revoke"], body.to_string())).await?;
    if answer["degraded"] == true {
        return Err(Failure::Run(anyhow!(
            "revoked by the node at {url} alone, because Redis or the inbox file is down; it tries again every second"
        )));
    }
    if api.json {
        api.print(&answer);
        return Ok(());
    }
    let sockets = counted(answer["sockets_here"].as_u64().unwrap_or(0), "socket", "sockets");
    let stored = match answer["stored_in"].as_str() {
        Some("redis") => "stored in Redis",
        Some("file") => "stored in the inbox file",
        _ => "in the memory of the server only: a restart loses it",
    };
    print_line(format_args!("revoked; logged out {sockets} of the node at {url}; {stored}"));
    Ok(())
}
