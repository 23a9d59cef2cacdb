//! Settings of handlers over HTTP: the backends that answer events of clients.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use switchboard_hooks::{CONNECT, EventPattern, HandlerOptions, OnFailure};

use super::callee::{Callee, project_ids};
use super::error::InvalidSetting;
use super::secret::Secrets;

/// Settings of handlers over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Handlers {
    /// Backends by name: letters, digits, `-` and `_`. Their settings are in the guide for handlers over HTTP. If the events
    /// of two backends overlap, the first by name handles an event.
    pub backends: BTreeMap<String, HandlerBackend>,
}

/// Settings of a backend in `handlers.backends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandlerBackend {
    /// Address that receives the calls, `https://…` or `http://…`. Required.
    pub url: String,
    /// Events of clients that the backend handles: names, with `*` at the end all names that begin alike; `@connect` lets it
    /// decide who may connect. Required.
    pub events: Vec<String>,
    /// How long a call may take in milliseconds, at least 1. Default 2,000.
    pub timeout_ms: u64,
    /// What happens without an answer. `reject`: the client receives an error, or may not connect. `allow`: the server goes on
    /// as without the backend. Default `reject`.
    pub on_failure: Failure,
    /// Headers of the client's handshake that a call contains. Default none.
    pub headers: Vec<String>,
    /// Projects whose clients it serves. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    /// Calls that may wait for an answer at the same time, at least 1. Default 256.
    pub in_flight_max: usize,
    /// Secrets that sign the calls, each `whsec_` and 24 to 64 bytes in base64: one string, or a list to rotate them.
    /// Default none: calls are not signed.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub secrets: Secrets,
    /// Allows an address that is not public, such as a loopback or private one. Default false.
    pub allow_private: bool,
    /// PEM file of certificate authorities that the backend may use in addition to Mozilla's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// The fate of an event without an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// The client receives an error, or may not connect.
    #[default]
    Reject,
    /// The server goes on as without the backend.
    Allow,
}

impl Default for HandlerBackend {
    fn default() -> Self {
        HandlerBackend {
            url: String::new(),
            events: Vec::new(),
            timeout_ms: 2000,
            on_failure: Failure::Reject,
            headers: Vec::new(),
            projects: None,
            in_flight_max: 256,
            secrets: Secrets::default(),
            allow_private: false,
            ca_file: None,
        }
    }
}

impl Handlers {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        self.options().map(drop)
    }

    /// The secrets of each backend, by their key.
    pub(super) fn secrets(&self) -> BTreeMap<String, &Secrets> {
        let key = |name: &String| format!("handlers.backends.{name}.secrets");
        self.backends.iter().map(|(name, backend)| (key(name), &backend.secrets)).collect()
    }

    /// The backends.
    pub(super) fn options(&self) -> Result<Vec<HandlerOptions>, InvalidSetting> {
        self.backends.iter().map(|(name, backend)| backend.options(name)).collect()
    }

    /// The headers of handshakes that the server has to keep.
    pub(super) fn headers(&self) -> impl Iterator<Item = HeaderName> {
        let names = self.backends.values().flat_map(|backend| &backend.headers);
        names.map(|name| name.parse().expect("the settings were checked"))
    }
}

impl HandlerBackend {
    fn options(&self, name: &str) -> Result<HandlerOptions, InvalidSetting> {
        let section = format!("handlers.backends.{name}");
        let bad = |key: &str, problem: String| InvalidSetting::new(format!("{section}.{key}"), problem);
        let callee = Callee {
            section: &section,
            name,
            url: &self.url,
            secrets: &self.secrets,
            allow_private: self.allow_private,
            timeout_ms: self.timeout_ms,
            ca_file: self.ca_file.as_ref(),
            response_bytes_max: RESPONSE_BYTES_MAX,
        };
        let (outgoing, secrets) = callee.options()?;
        if self.in_flight_max == 0 {
            return Err(bad("in_flight_max", "expected at least 1".into()));
        }
        if let Some(header) = self.headers.iter().find(|name| name.parse::<HeaderName>().is_err()) {
            return Err(bad("headers", format!("`{header}` is not the name of a header")));
        }
        let projects = self.projects.as_deref().map(|ids| project_ids(&section, ids)).transpose()?;
        Ok(HandlerOptions {
            name: name.into(),
            url: self.url.clone(),
            secrets,
            events: self.patterns(&section)?,
            decides_connects: self.events.iter().any(|event| event == CONNECT),
            projects,
            headers: self.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
            on_failure: match self.on_failure {
                Failure::Reject => OnFailure::Reject,
                Failure::Allow => OnFailure::Allow,
            },
            in_flight_max: self.in_flight_max,
            outgoing,
        })
    }

    /// The events, without `@connect`.
    fn patterns(&self, section: &str) -> Result<Vec<EventPattern>, InvalidSetting> {
        let bad = |problem: String| InvalidSetting::new(format!("{section}.events"), problem);
        if self.events.is_empty() {
            return Err(bad("expected at least one event".into()));
        }
        let events = self.events.iter().filter(|event| *event != CONNECT);
        let pattern = |event: &String| match event.starts_with('@') {
            true => {
                Err(bad(format!("`{event}` is not an event of a client; expected a name, or `{CONNECT}`")))
            }
            false => {
                EventPattern::new(event).map_err(|error| bad(format!("expected names of events: {error}")))
            }
        };
        events.map(pattern).collect()
    }
}

/// Longest answer of a backend in bytes.
const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Config, ConfigError, with};
    use super::*;

    fn backend(settings: &str) -> Result<Config, ConfigError> {
        with(&[&format!("handlers.backends.chat={{{settings}}}")])
    }

    #[test]
    fn a_backend_has_its_settings() {
        let config = backend(
            r#"url = "https://example.com/", events = ["@connect", "/chat/*"], on_failure = "allow", headers = ["Cookie"], projects = ["a"]"#,
        );
        let config = config.unwrap();
        let [chat] = &config.http_handlers().unwrap()[..] else { panic!("one backend") };
        assert!(chat.decides_connects && chat.events.len() == 1 && chat.events[0].matches("/chat/send"));
        assert_eq!(
            (chat.on_failure, chat.headers.as_slice()),
            (OnFailure::Allow, &["cookie".to_owned()][..])
        );
        assert_eq!((chat.outgoing.timeout, chat.in_flight_max), (Duration::from_secs(2), 256));
        assert!(with(&[]).unwrap().http_handlers().unwrap().is_empty());
    }

    #[test]
    fn an_invalid_backend_is_reported_with_its_key() {
        let good = r#"url = "https://example.com", events = ["/x"]"#;
        assert!(backend(good).is_ok());
        for (settings, named) in [
            (r#"events = ["/x"]"#, "handlers.backends.chat.url"),
            (
                r#"url = "http://127.0.0.1:8000", events = ["/x"]"#,
                "handlers.backends.chat.allow_private = true",
            ),
            (r#"url = "https://example.com""#, "handlers.backends.chat.events"),
            (r#"url = "https://example.com", events = ["@join"]"#, "`@join` is not an event of a client"),
            (r#"url = "https://example.com", events = [""]"#, "handlers.backends.chat.events"),
            (&format!("{good}, on_failure = \"relay\""), "handlers.backends.chat.on_failure"),
            (&format!("{good}, timeout_ms = 0"), "handlers.backends.chat.timeout_ms"),
            (&format!("{good}, in_flight_max = 0"), "handlers.backends.chat.in_flight_max"),
            (&format!("{good}, projects = [\"\"]"), "handlers.backends.chat.projects"),
            (&format!("{good}, headers = [\"a b\"]"), "`a b` is not the name of a header"),
            (&format!("{good}, secrets = \"x\""), "whsec_$(openssl"),
        ] {
            let error = backend(settings).err().unwrap_or_else(|| panic!("{settings} is valid")).to_string();
            assert!(error.contains(named), "{settings}: {error}");
        }
    }
}
