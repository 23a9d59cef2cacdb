//! Settings of webhooks: the endpoints, and the bounds of their queues.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::ProjectId;
use switchboard_hooks::{EndpointOptions, EventKind, EventSet, OutgoingOptions, RoomPattern, WebhookOptions};
use switchboard_redis::ReportOptions;

use super::callee::{Callee, project_ids};
use super::error::InvalidSetting;
use super::file::check_folder;
use super::no_effect::NoEffect;
use super::projects::Projects;
use super::reports::Reports;
use super::secret::Secrets;

/// Settings of webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// Without Redis, bytes of reports that this node queues in memory for one endpoint; at the bound a new report is
    /// dropped and counted. With Redis, `reports.queue_bytes_max` and `reports.backlog_max` apply. Default 16,777,216.
    pub queue_bytes_max: usize,
    /// Without Redis, the file that has a copy of the queues, so that a restart loses no report. One process at a time can open
    /// it. Default none: the queues are in memory alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Longest body of a call in bytes, at least 1,024; a report that is longer is sent alone. Default 1,048,576.
    pub body_bytes_max: usize,
    /// Longest pause after a first failed call, in milliseconds, at least 1. It doubles with each further failure, and each
    /// pause is random up to it. Default 1,000.
    pub retry_min_ms: u64,
    /// Longest pause between two attempts in milliseconds. Default 300,000.
    pub retry_max_ms: u64,
    /// How long calls are repeated, in seconds, at least 1; an older report is dropped and counted. Default 86,400.
    pub retry_for_s: u64,
    /// How long a room has been without members when it is reported as vacated, in milliseconds. With 0, it is
    /// reported at once. Default 5,000.
    pub vacated_after_ms: u64,
    /// Endpoints by name: letters, digits, `-` and `_`. Their settings are in the guide for webhooks.
    pub endpoints: BTreeMap<String, HookEndpoint>,
}

/// Settings of an endpoint in `hooks.endpoints`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookEndpoint {
    /// Address that receives the calls, `https://…` or `http://…`. Required.
    pub url: String,
    /// Secrets that sign the calls, each `whsec_` and 24 to 64 bytes in base64: one string, or a list to rotate them.
    /// Default none: calls are not signed.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub secrets: Secrets,
    /// Events that the endpoint receives. Required.
    pub events: Vec<String>,
    /// Projects whose events it receives. Default: that of `projects.default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    /// Rooms of the events about rooms; `#chat-*` is every room that begins with `#chat-`. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rooms: Option<String>,
    /// Allows an address that is not public, such as a loopback or private one. Default false.
    pub allow_private: bool,
    /// How long a call may take in milliseconds, at least 1. Default 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// PEM file of certificate authorities that the endpoint may use in addition to Mozilla's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for Hooks {
    fn default() -> Self {
        let defaults = WebhookOptions::default();
        let WebhookOptions { queue_bytes_max, body_bytes_max, retry_min, retry_max, age_max, .. } = defaults;
        Hooks {
            queue_bytes_max,
            file: None,
            body_bytes_max,
            retry_min_ms: retry_min.as_millis() as u64,
            retry_max_ms: retry_max.as_millis() as u64,
            retry_for_s: age_max.as_secs(),
            vacated_after_ms: defaults.vacated_after.as_millis() as u64,
            endpoints: BTreeMap::new(),
        }
    }
}

impl Hooks {
    pub(super) fn check(&self, projects: &Projects) -> Result<(), InvalidSetting> {
        for (key, value, min) in [
            ("hooks.queue_bytes_max", self.queue_bytes_max as u64, 1),
            ("hooks.body_bytes_max", self.body_bytes_max as u64, 1024),
            ("hooks.retry_min_ms", self.retry_min_ms, 1),
            ("hooks.retry_max_ms", self.retry_max_ms, self.retry_min_ms),
            ("hooks.retry_for_s", self.retry_for_s, 1),
        ] {
            if value < min {
                return Err(InvalidSetting::new(key, format!("expected at least {min}")));
            }
        }
        self.options(projects).map(drop)
    }

    /// Checks that the file can exist.
    pub(super) fn check_folder(&self) -> Result<(), InvalidSetting> {
        match self.file.as_deref().filter(|_| !self.endpoints.is_empty()) {
            Some(path) => check_folder("hooks.file", path),
            None => Ok(()),
        }
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self, is_single_node: bool) -> Option<NoEffect> {
        if self.endpoints.is_empty() {
            return Some(NoEffect::of(&["hooks"], "hooks.endpoints has no endpoint"));
        }
        let reason =
            "redis.url is set, so reports are queued in Redis; reports.queue_bytes_max bounds the queue";
        (!is_single_node).then(|| NoEffect::of(&["hooks.queue_bytes_max", "hooks.file"], reason))
    }

    /// The secrets of each endpoint, by their key.
    pub(super) fn secrets(&self) -> BTreeMap<String, &Secrets> {
        let key = |name: &String| format!("hooks.endpoints.{name}.secrets");
        self.endpoints.iter().map(|(name, endpoint)| (key(name), &endpoint.secrets)).collect()
    }

    /// The webhooks; `None` without endpoints.
    pub(super) fn options(&self, projects: &Projects) -> Result<Option<WebhookOptions>, InvalidSetting> {
        let endpoints = self.endpoints.iter().map(|(name, endpoint)| endpoint.options(name, projects));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        Ok((!endpoints.is_empty()).then_some(WebhookOptions {
            endpoints,
            queue_bytes_max: self.queue_bytes_max,
            file: self.file.clone(),
            body_bytes_max: self.body_bytes_max,
            retry_min: Duration::from_millis(self.retry_min_ms),
            retry_max: Duration::from_millis(self.retry_max_ms),
            age_max: Duration::from_secs(self.retry_for_s),
            vacated_after: Duration::from_millis(self.vacated_after_ms),
        }))
    }

    /// The streams of reports in Redis; `None` without endpoints.
    pub(super) fn streams(&self, projects: &Projects, reports: &Reports) -> Option<ReportOptions> {
        let options = self.options(projects).expect("the settings were checked")?;
        let mut projects: Vec<ProjectId> =
            options.endpoints.into_iter().flat_map(|endpoint| endpoint.projects).collect();
        projects.sort();
        projects.dedup();
        let first = projects.first()?.clone();
        Some(ReportOptions {
            projects,
            backlog_max: reports.backlog_max,
            bytes_max: reports.queue_bytes_max,
            ..ReportOptions::of(&first)
        })
    }
}

impl HookEndpoint {
    fn options(&self, name: &str, projects: &Projects) -> Result<EndpointOptions, InvalidSetting> {
        let section = format!("hooks.endpoints.{name}");
        let bad = |key: &str, problem: String| InvalidSetting::new(format!("{section}.{key}"), problem);
        let defaults = OutgoingOptions::default();
        let callee = Callee {
            section: &section,
            name,
            url: &self.url,
            secrets: &self.secrets,
            allow_private: self.allow_private,
            timeout_ms: self.timeout_ms.unwrap_or(defaults.timeout.as_millis() as u64),
            ca_file: self.ca_file.as_ref(),
            response_bytes_max: defaults.response_bytes_max,
        };
        let (outgoing, secrets) = callee.options()?;
        let rooms = self.rooms.as_deref().map(RoomPattern::new).transpose();
        let own = std::slice::from_ref(&projects.default);
        let ids = project_ids(&section, self.projects.as_deref().unwrap_or(own))?;
        if ids.is_empty() {
            return Err(bad("projects", "expected at least one project".into()));
        }
        Ok(EndpointOptions {
            name: name.into(),
            url: self.url.clone(),
            secrets,
            events: self.events(&section)?,
            projects: ids,
            rooms: rooms.map_err(|error| bad("rooms", format!("expected a room or rooms: {error}")))?,
            outgoing,
        })
    }

    fn events(&self, section: &str) -> Result<EventSet, InvalidSetting> {
        let key = || format!("{section}.events");
        if self.events.is_empty() {
            return Err(InvalidSetting::new(key(), "expected at least one event"));
        }
        let kinds = self.events.iter().map(|event| event.parse::<EventKind>());
        kinds.collect::<Result<_, _>>().map_err(|error| InvalidSetting::new(key(), error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, with};
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn endpoint(settings: &str) -> Result<Config, super::super::ConfigError> {
        with(&[&format!("hooks.endpoints.chat={{{settings}}}")])
    }

    #[test]
    fn an_endpoint_has_its_settings() {
        let settings = format!(
            r##"url = "https://example.com/hooks", secrets = "{SECRET}", events = ["joined", "left"],
                projects = ["a", "b"], rooms = "#chat-*", timeout_ms = 500"##
        );
        let config = endpoint(&settings.replace('\n', " ")).unwrap();
        let options = config.webhooks().unwrap().unwrap();
        let [chat] = &options.endpoints[..] else { panic!("{options:?}") };
        assert_eq!((&*chat.name, &*chat.url), ("chat", "https://example.com/hooks"));
        assert_eq!((chat.secrets.as_slice(), chat.projects.len()), (&[SECRET.to_owned()][..], 2));
        assert!(chat.events.contains(EventKind::Joined) && !chat.events.contains(EventKind::Message));
        assert_eq!(chat.outgoing.timeout, Duration::from_millis(500));
        assert!(!config.to_toml().contains(SECRET), "a secret is never shown");
        assert!(with(&[]).unwrap().webhooks().unwrap().is_none());
    }

    #[test]
    fn an_invalid_endpoint_is_reported_with_its_key() {
        let good = r#"url = "https://example.com", events = ["message"]"#;
        assert!(endpoint(good).is_ok());
        for (settings, named) in [
            (r#"events = ["message"]"#, "hooks.endpoints.chat.url"),
            (r#"url = "example.com", events = ["message"]"#, "hooks.endpoints.chat.url"),
            (r#"url = "http://10.0.0.1", events = ["message"]"#, "hooks.endpoints.chat.allow_private = true"),
            (r#"url = "https://u:p@example.com", events = ["message"]"#, "hooks.endpoints.chat.url"),
            (r#"url = "https://example.com""#, "hooks.endpoints.chat.events"),
            (r#"url = "https://example.com", events = ["messages"]"#, "`message`"),
            (&format!("{good}, secrets = \"secret\""), "whsec_$(openssl"),
            (&format!("{good}, projects = []"), "hooks.endpoints.chat.projects"),
            (&format!("{good}, rooms = \"\""), "hooks.endpoints.chat.rooms"),
            (&format!("{good}, timeout_ms = 0"), "hooks.endpoints.chat.timeout_ms"),
            (&format!("{good}, ca_file = \"/nonexistent\""), "hooks.endpoints.chat.ca_file"),
            (&format!("{good}, urls = 1"), "hooks.endpoints.chat.urls"),
        ] {
            let error = endpoint(settings).err().unwrap_or_else(|| panic!("{settings} is valid")).to_string();
            assert!(error.contains(named), "{settings}: {error}");
            assert!(!error.contains("u:p@"), "{error}");
        }
        for secrets in ["mNZK1bst+forgotten+prefix==", "[\"whsec_x\", \"mNZK1bst\"]", "{a = \"mNZK1bst\"}"] {
            let quoted =
                if secrets.starts_with(['[', '{']) { secrets.to_owned() } else { format!("\"{secrets}\"") };
            let error = endpoint(&format!("{good}, secrets = {quoted}")).unwrap_err().to_string();
            assert!(error.contains("hooks.endpoints.chat.secrets") && !error.contains("mNZK1bst"), "{error}");
        }
        let error = with(&[&format!("hooks.endpoints={{\"a b\" = {{{good}}}}}")]).unwrap_err().to_string();
        assert!(error.contains("hooks.endpoints.a b"), "{error}");
        for (path, problem) in
            [("/nonexistent/hooks.redb", "no folder /nonexistent"), ("/", "found a folder")]
        {
            let endpoint = format!("hooks.endpoints.chat={{{good}}}");
            let config = with(&[&endpoint, &format!("hooks.file={path}")]).unwrap();
            let error = config.hooks.check_folder().unwrap_err().to_string();
            assert!(error.contains("hooks.file") && error.contains(problem), "{error}");
            let without_endpoints = with(&[&format!("hooks.file={path}")]).unwrap();
            assert!(without_endpoints.hooks.check_folder().is_ok(), "nothing is written");
        }
        for set in
            ["hooks.retry_min_ms=0", "hooks.retry_max_ms=1", "hooks.body_bytes_max=5", "hooks.retry_for_s=0"]
        {
            let error = with(&[set]).unwrap_err().to_string();
            assert!(error.contains(set.split('=').next().unwrap()), "{error}");
        }
    }

    #[test]
    fn the_streams_in_redis_are_those_of_all_projects_of_the_endpoints() {
        let endpoint = |name: &str, projects: &str| {
            format!(
                r#"hooks.endpoints.{name}={{url = "https://example.com", events = ["message"], {projects}}}"#
            )
        };
        let config = with(&[
            "redis=redis://h",
            &endpoint("one", r#"projects = ["b", "a"]"#),
            &endpoint("two", r#"projects = ["b"]"#),
        ]);
        let streams = config.unwrap().redis().unwrap().unwrap().webhooks.unwrap();
        assert_eq!(streams.projects.iter().map(|id| &**id).collect::<Vec<_>>(), ["a", "b"]);
    }
}
