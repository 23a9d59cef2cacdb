//! `POST /api/v1/batch`: up to 1,000 calls in one request, each with a result of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::audit;
use super::endpoint::{Context, Output};
use super::input::Input;
use super::problem::Problem;
use crate::config::ApiScope;

/// Most calls in a batch.
const CALLS_MAX: usize = 1000;

/// Most bytes of all results together. The result of a call beyond them is a problem.
const RESULT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Queries that run at the same time: each may hold a page or a history. Messages share one pipeline, so they do not wait.
const QUERIES_AT_ONCE: usize = 32;

/// Calls to execute.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// The calls, at most 1,000. They begin in their order and do not wait for each other, so that all messages for inboxes
    /// share one pipeline of Redis.
    #[schema(max_items = 1000)]
    calls: Vec<Call>,
}

/// A call in a batch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// The operation id of an endpoint, such as `send`.
    #[schema(example = "send")]
    call: String,
    /// The body of its request, or its parameters as members.
    #[schema(value_type = Value)]
    body: Box<RawValue>,
}

/// The results of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct Results {
    /// One for each call, in the order of the calls.
    results: Vec<CallResult>,
}

/// The result of a call.
#[derive(Serialize, ToSchema)]
pub(super) struct CallResult {
    /// The status that the call would have as a request of its own.
    #[schema(example = 200)]
    status: u16,
    /// The body of the response: the result, or a problem.
    #[schema(value_type = Value)]
    body: Box<RawValue>,
}

/// Executes up to 1,000 calls. A call that fails does not affect the others. The key needs the scope of each call. All results
/// together have at most 16 MiB; a call beyond them has the problem `result_too_large`.
#[utoipa::path(
    post,
    path = "/api/v1/batch",
    request_body(content = Batch, example = json!({ "calls": [
        { "call": "send", "body": { "event": "score", "data": 3, "to": { "users": ["7"] } } },
        { "call": "join", "body": { "to": { "users": ["7"] }, "room": "winners" } }
    ] })),
    responses((status = 200, description = "The results", body = Results))
)]
pub(super) async fn endpoint(context: Context, Batch { calls }: Batch) -> Result<Results, Problem> {
    if calls.len() > CALLS_MAX {
        let found = calls.len();
        return Err(Problem::invalid_field(
            "calls",
            format_args!("{found} calls, over the limit of {CALLS_MAX}"),
        ));
    }
    let budget = Budget {
        bytes_left: AtomicUsize::new(RESULT_BYTES_MAX),
        is_spent: AtomicBool::new(false),
        queries: Semaphore::new(QUERIES_AT_ONCE),
    };
    let running = calls.into_iter().map(async |call| result(execute(context.clone(), call, &budget).await));
    Ok(Results { results: join_all(running).await })
}

/// What the results of a batch may cost.
struct Budget {
    bytes_left: AtomicUsize,
    /// A result did not fit.
    is_spent: AtomicBool,
    queries: Semaphore,
}

impl Budget {
    /// Returns the output if it still fits.
    fn admit(&self, output: Output) -> Result<Output, Problem> {
        let Output::Json(json) = &output else { return Ok(output) };
        let rest = |left: usize| left.checked_sub(json.len());
        match self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest) {
            Ok(_) => Ok(output),
            Err(_) => {
                // The queries behind this one do not run.
                self.is_spent.store(true, Ordering::Relaxed);
                Err(Problem::result_too_large(RESULT_BYTES_MAX))
            }
        }
    }
}

async fn execute(context: Context, Call { call, body }: Call, budget: &Budget) -> Result<Output, Problem> {
    let endpoint =
        context.endpoints.iter().find(|endpoint| endpoint.name == call && endpoint.name != "batch");
    let Some(endpoint) = endpoint else {
        return Err(Problem::invalid_field(
            "call",
            "expected the operation id of an endpoint other than `batch`",
        ));
    };
    context.key.check_scope(endpoint.scope)?;
    let input = Input::Body(Box::<str>::from(body).into_boxed_bytes().into());
    if endpoint.scope != Some(ApiScope::Read) {
        return budget.admit(audit::run(endpoint, context, input).await?);
    }
    let _turn = budget.queries.acquire().await.expect("the semaphore is never closed");
    match budget.is_spent.load(Ordering::Relaxed) {
        true => Err(Problem::result_too_large(RESULT_BYTES_MAX)),
        false => budget.admit(audit::run(endpoint, context, input).await?),
    }
}

fn result(outcome: Result<Output, Problem>) -> CallResult {
    let outcome = outcome.and_then(|output| match output {
        Output::Json(json) => Ok(json),
        Output::Lines(_) => Err(Problem::invalid_field("stream", "a batch returns all results together")),
    });
    match outcome {
        Ok(json) => {
            let json = String::from_utf8(json.into()).expect("JSON is UTF-8");
            CallResult { status: 200, body: RawValue::from_string(json).expect("an output is JSON") }
        }
        Err(problem) => CallResult {
            status: problem.status().as_u16(),
            body: to_raw_value(&problem).expect("a problem is JSON"),
        },
    }
}
