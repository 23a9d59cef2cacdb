//! Calls of the HTTP API.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use reqwest::{Method, Response, Url};
use serde_json::Value;
use switchboard_log::Printable;

use crate::args::Certificates;
use crate::cmd::http;
use crate::output::Failure;

/// Longest time until the API answers, in addition to the wait of the call itself.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Environment variable with the key of the HTTP API.
const KEY_VARIABLE: &str = "DISPATCH_KEY";

/// The fix if another server answers.
const API_HINT: &str =
    "hint: --url is the address of api.listen, which the banner of the server has behind `api`";

/// The HTTP API of a node.
pub(super) struct ApiClient<'a> {
    url: &'a str,
    key: String,
    certificates: &'a Certificates,
}

/// A call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The parts of the path behind `/api/v1/`.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<String>,
    /// How long the call waits before it answers.
    pub(super) waits: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn post(path: &'a [&'a str], body: String) -> Self {
        Call { method: Method::POST, path, query: &[], body: Some(body), waits: Duration::ZERO }
    }

    pub(super) fn get(path: &'a [&'a str], query: &'a [(&'a str, &'a str)]) -> Self {
        Call { method: Method::GET, path, query, body: None, waits: Duration::ZERO }
    }
}

impl<'a> ApiClient<'a> {
    /// `key` is the argument of the command. Default: that of the environment.
    pub(super) fn new(
        url: &'a str,
        key: Option<&str>,
        certificates: &'a Certificates,
    ) -> Result<Self, Failure> {
        let key = key.map(str::to_owned).or_else(|| std::env::var(KEY_VARIABLE).ok());
        let key = key
            .ok_or_else(|| Failure::Usage(anyhow!("--url needs a key; set {KEY_VARIABLE}, or use --key")))?;
        Ok(ApiClient { url, key, certificates })
    }

    /// Calls an endpoint and returns its answer.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, Failure> {
        let text = self.read(self.send(call).await?).await?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(answer)) => Ok(Value::Object(answer)),
            _ => {
                Err(Failure::Run(anyhow!("{} answered, but it is not the HTTP API\n\n{API_HINT}", self.url)))
            }
        }
    }

    /// Calls an endpoint and returns its response; the body is not read yet. A refusal is an error.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Response, Failure> {
        let Call { method, path, query, body, waits } = call;
        let address = address(self.url, path, query).map_err(Failure::Usage)?;
        let timeout = RESPONSE_TIMEOUT + waits;
        let client = http::client(timeout, self.certificates).map_err(Failure::Usage)?;
        let client = client.build().map_err(|error| Failure::Run(error.into()))?;
        let mut request = client.request(method, address).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await;
        let response = response.map_err(|error| Failure::Run(http::explain(&error, self.url, timeout)))?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(self.refusal(status, &self.read(response).await?)),
        }
    }

    async fn read(&self, response: Response) -> Result<String, Failure> {
        let text = response.text().await;
        text.map_err(|error| Failure::Run(http::explain(&error, self.url, RESPONSE_TIMEOUT)))
    }

    /// The error of a problem.
    fn refusal(&self, status: u16, text: &str) -> Failure {
        let problem: Value = serde_json::from_str(text).unwrap_or_default();
        let url = self.url;
        let Some(reason) = problem["detail"].as_str() else {
            if text.contains("this port is encrypted") {
                let fix = url.replacen("http://", "https://", 1);
                return Failure::Usage(anyhow!("{url} is encrypted\n\nhint: use --url {fix}"));
            }
            return Failure::Run(anyhow!(
                "{url} answered {status}, but it is not the HTTP API\n\n{API_HINT}"
            ));
        };
        let error = anyhow!("{url} answered {status}: {}", Printable(reason));
        if status == 400 { Failure::Usage(error) } else { Failure::Run(error) }
    }
}

/// The address of an endpoint. `url` may have a path, for a node behind a proxy.
fn address(url: &str, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Url> {
    let invalid = || format!("--url is `{url}`; expected an address such as http://127.0.0.1:4001");
    let mut address = Url::parse(url).with_context(invalid)?;
    let has_more =
        address.query().is_some() || address.fragment().is_some() || !address.username().is_empty();
    ensure!(["http", "https"].contains(&address.scheme()) && !has_more, invalid());
    let mut segments = address.path_segments_mut().expect("an address of HTTP has a path");
    segments.pop_if_empty().extend(["api", "v1"]).extend(path);
    drop(segments);
    if !query.is_empty() {
        address.query_pairs_mut().extend_pairs(query);
    }
    Ok(address)
}
