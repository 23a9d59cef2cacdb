//! The log of what backends change: one line for each call of the scope `manage`, with the name of the key.
//!
//! The lines have no limit of their own, so that none is missing: keys have a rate.

use switchboard_log::printable;

use super::endpoint::{Context, Endpoint, Output};
use super::input::Input;
use super::problem::Problem;
use crate::config::ApiScope;

/// Runs an endpoint, and logs the call if the endpoint changes something besides sending.
pub(super) async fn run(endpoint: &Endpoint, context: Context, input: Input) -> Result<Output, Problem> {
    if endpoint.scope != Some(ApiScope::Manage) {
        return (endpoint.run)(context, input).await;
    }
    let (key, shown) = (context.key.clone(), printable(String::from_utf8_lossy(input.as_bytes())));
    let outcome = (endpoint.run)(context, input).await;
    let status = outcome.as_ref().map_or_else(|problem| problem.status().as_u16(), |_| 200);
    tracing::info!(key = printable(&key.name), call = endpoint.name, input = shown, status, "API call");
    outcome
}
