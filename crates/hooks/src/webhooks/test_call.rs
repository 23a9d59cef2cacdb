//! A test call: one report of the type `test`, sent as every other call.

use std::time::SystemTime;

use serde_json::json;
use switchboard_event::unix_ms;

use super::options::{EndpointOptions, WebhookError};
use crate::outgoing::{CallError, OutgoingClient, Reply};
use crate::signature::Signer;

/// Sends one report of the type `test` to an endpoint, once. The outer error is that of the options.
pub async fn send_test_report(options: &EndpointOptions) -> Result<Result<Reply, CallError>, WebhookError> {
    let endpoint = || options.name.clone();
    let client = OutgoingClient::new(&options.url, options.outgoing.clone())
        .map_err(|source| WebhookError::Url { endpoint: endpoint(), source })?;
    let signer = Signer::new(options.secrets.iter().map(String::as_str))
        .map_err(|source| WebhookError::Secret { endpoint: endpoint(), source })?;
    let now_ms = unix_ms(SystemTime::now());
    let id = format!("test-{:016x}", rand::random::<u64>());
    let project = options.projects.first().map(|project| project.to_string());
    let report = json!({ "id": id, "type": "test", "time": now_ms, "project": project });
    let body = json!({ "reports": [report] }).to_string();
    let headers = signer.headers(&id, now_ms / 1000, body.as_bytes());
    Ok(client.post(headers, body.into()).await)
}
