//! `switchboard hooks`: tries the webhooks of the settings, and shows and repeats those of a running node.

use anyhow::anyhow;
use serde_json::json;
use switchboard_hooks::{EndpointOptions, send_test_report};
use switchboard_log::Printable;

use super::api_client::Call;
use crate::args::Hooks;
use crate::output::Failure;
use crate::settings::Settings;
use crate::streams::print_line;

/// Longest body of an answer that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;

pub(crate) async fn run(hooks: Hooks) -> Result<(), Failure> {
    match hooks {
        Hooks::Test { endpoint, settings } => test(&find(&settings, &endpoint)?).await,
        Hooks::Status(api) => api.print_list(Call::get(&["hooks"], &api.parameters()), "endpoints").await,
        Hooks::Replay { endpoint, api } => {
            let body = json!({ "endpoint": endpoint }).to_string();
            api.print_list(Call::post(&["hooks", "replay"], body), "endpoints").await
        }
    }
}

/// The endpoint of that name in the settings.
fn find(settings: &Settings, name: &str) -> Result<EndpointOptions, Failure> {
    let options = settings.load()?.webhooks().map_err(|error| Failure::Usage(error.into()))?;
    let endpoints = options.map(|options| options.endpoints).unwrap_or_default();
    let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    endpoints.into_iter().find(|endpoint| endpoint.name == name).ok_or_else(|| {
        let known = match names.is_empty() {
            true => "hooks.endpoints has no endpoint".to_owned(),
            false => format!("the endpoints are {}", names.join(", ")),
        };
        Failure::Usage(anyhow!("no webhook endpoint has the name `{name}`; {known}"))
    })
}

/// Sends a test report. Fails if the endpoint does not answer, or with another status than 2xx.
async fn test(endpoint: &EndpointOptions) -> Result<(), Failure> {
    let url = &endpoint.url;
    let sent = send_test_report(endpoint).await.map_err(|error| Failure::Usage(error.into()))?;
    let reply = sent.map_err(|error| {
        Failure::Run(anyhow::Error::from(error).context(format!("{url} has not accepted the report")))
    })?;
    let text: String = String::from_utf8_lossy(&reply.body).trim().chars().take(SHOWN_CHARS_MAX).collect();
    let answer = format!("{url} answered {} {}", reply.status.as_u16(), Printable(text));
    match reply.status.is_success() {
        true => print_line(answer.trim_end()),
        false => return Err(Failure::Run(anyhow!("{}", answer.trim_end()))),
    }
    Ok(())
}
