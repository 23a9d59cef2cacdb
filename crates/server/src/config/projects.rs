//! Settings of projects: which ones exist, and their rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use switchboard::access::{Rights, RightsError};
use switchboard::protocols::ProjectRules;
use switchboard::{Name, ProjectId};

use super::error::InvalidSetting;

/// Settings of projects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Projects {
    /// Project of emit clients; their protocol names none. Default `default`.
    pub default: String,
    /// Accepts Koji clients of any project; they name theirs. If false, those that name one that is not in `projects.named`
    /// are refused with 403. Clients of the other protocols name no project, so this does not affect them. Default true.
    pub any: bool,
    /// Rules of every project.
    pub every: ProjectSettings,
    /// Rules of single projects, by project id; a rule that is not set here is taken from
    /// `projects.every`. A list replaces the list there.
    pub named: BTreeMap<String, ProjectSettings>,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limit(#[serde(with = "switchboard::limit")] pub Option<usize>);

/// Patterns of rights, each with its letters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Can(BTreeMap<String, String>);

/// Rules of a project for Koji clients, and the rights of the clients of all protocols. A rule that is not set has the value of `projects.every`, and
/// there its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[serde(rename_all = "snake_case")]
pub struct ProjectSettings {
    /// What a client may do beyond the claim `can` of its token: patterns with the letters j (join), s (send),
    /// h (history) and p (presence), such as `{ "#news" = "jh", "shard:duel-*" = "jsp", "user:*" = "s" }`. Default: with
    /// `access = "open"` a client without that claim may do everything, otherwise nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can: Option<Can>,
    /// Seats of an automatic shard if the client requests no number, from 1 to 10,000. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_default: Option<u32>,
    /// Maximum number of seats of a shard, from 1 to 10,000; a client that requests more gets a shard of this size.
    /// Default 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_max: Option<u32>,
    /// Gives a client an automatic shard if the named shard it requests is full. If false, a named shard
    /// has no capacity. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_overflow: Option<bool>,
    /// Maximum number of clients of the project; one more is closed with 1013; `none` lifts the limit of
    /// `projects.every`. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<Limit>,
    /// Keeps the session of a Koji client, with its seat and its place on the member list, for `resume.seconds` after its
    /// connection has broken. If false, the others see at once that it has gone, and it comes back as a new client; a
    /// change applies to clients that connect afterwards. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<bool>,
    /// Ignores events of clients without a user. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emit_needs_identity: Option<bool>,
    /// Names of the events that clients may send; `chat_*` allows every name that begins with `chat_`.
    /// Other events are ignored. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// Longest message in UTF-16 units, from 1 to 128,000; a longer one is ignored. Default 128,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_units_max: Option<usize>,
    /// Maximum number of recipients that a client may name in a message; a message with more is ignored. Each recipient
    /// counts as one message of `limits.messages_per_s`. The longest message has space for 3,281 ids of clients.
    /// Default 4,096.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients_max: Option<usize>,
    /// Largest user info of a client in bytes, as received; a larger one is ignored. Default 16,384.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_info_bytes_max: Option<usize>,
    /// User infos of all clients of a shard in bytes together; one that exceeds it is ignored, unless it has at
    /// most 256 bytes. Default 262,144.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_info_bytes_max: Option<usize>,
}

impl Default for Projects {
    fn default() -> Self {
        Projects {
            default: "default".into(),
            any: true,
            every: ProjectSettings::default(),
            named: BTreeMap::new(),
        }
    }
}

impl Projects {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        if let Err(error) = Name::new(&self.default) {
            return Err(InvalidSetting::new("projects.default", format!("expected a project id: {error}")));
        }
        self.every.check("projects.every")?;
        for (id, settings) in &self.named {
            if let Err(error) = Name::new(id) {
                return Err(InvalidSetting::new(
                    format!("projects.named.{id}"),
                    format!("expected a project id: {error}"),
                ));
            }
            settings.check(&format!("projects.named.{id}"))?;
        }
        Ok(())
    }

    /// Returns true if rights are set for any project.
    pub(super) fn has_rights(&self) -> bool {
        self.every.can.is_some() || self.named.values().any(|settings| settings.can.is_some())
    }

    /// The rules of all projects.
    fn rules(&self) -> Rules {
        let every = Arc::new(self.every.override_rules(ProjectRules::default()));
        let rules = |(id, own): (&String, &ProjectSettings)| {
            (id.clone(), Arc::new(own.override_rules((*every).clone())))
        };
        let named: HashMap<String, Arc<ProjectRules>> = self.named.iter().map(rules).collect();
        Rules { others: self.any.then_some(every), named }
    }
}

/// The rules of all projects.
struct Rules {
    named: HashMap<String, Arc<ProjectRules>>,
    /// The rules of all other projects; `None` if there are no others.
    others: Option<Arc<ProjectRules>>,
}

/// The rules of all projects, which can be replaced.
#[derive(Clone)]
pub(crate) struct SharedRules(Arc<RwLock<Rules>>);

impl SharedRules {
    pub(crate) fn new(projects: &Projects) -> Self {
        SharedRules(Arc::new(RwLock::new(projects.rules())))
    }

    pub(crate) fn set(&self, projects: &Projects) {
        *self.0.write().expect("no code that holds the rules panics") = projects.rules();
    }

    /// Returns a function that gives the rules of a project, or `None` if the project does not exist.
    pub(crate) fn by_project(
        &self,
    ) -> impl Fn(&ProjectId) -> Option<Arc<ProjectRules>> + Send + Sync + 'static {
        let rules = self.0.clone();
        move |id| {
            let rules = rules.read().expect("no code that holds the rules panics");
            rules.named.get(id.as_str()).or(rules.others.as_ref()).cloned()
        }
    }
}

impl ProjectSettings {
    /// `section` is the key of these settings, such as `projects.every`.
    fn check(&self, section: &str) -> Result<(), InvalidSetting> {
        self.rights().map_err(|error| InvalidSetting::new(format!("{section}.can"), error.to_string()))?;
        let invalid = |key: &str, problem: String| InvalidSetting::new(format!("{section}.{key}"), problem);
        let most = ProjectRules::SEATS_MAX;
        for (key, capacity) in
            [("capacity_default", self.capacity_default), ("capacity_max", self.capacity_max)]
        {
            if capacity.is_some_and(|seats| !(1..=most).contains(&seats)) {
                return Err(invalid(key, format!("expected 1 to {most}")));
            }
        }
        let most = ProjectRules::default().message_units_max;
        if self.message_units_max.is_some_and(|units| !(1..=most).contains(&units)) {
            let invalid = invalid("message_units_max", format!("expected 1 to {most}"));
            return Err(invalid.with_hint("events = [] ignores every event"));
        }
        for (key, max) in [
            ("recipients_max", self.recipients_max),
            ("user_info_bytes_max", self.user_info_bytes_max),
            ("shard_info_bytes_max", self.shard_info_bytes_max),
        ] {
            if max == Some(0) {
                return Err(invalid(key, "expected at least 1".into()));
            }
        }
        Ok(())
    }

    /// The rights in `can`.
    pub(super) fn rights(&self) -> Result<Option<Rights>, RightsError> {
        let pairs = |Can(can): &Can| {
            Rights::new(can.iter().map(|(pattern, letters)| (pattern.as_str(), letters.as_str())))
        };
        self.can.as_ref().map(pairs).transpose()
    }

    /// Overrides `rules` with the settings that are set.
    fn override_rules(&self, rules: ProjectRules) -> ProjectRules {
        ProjectRules {
            capacity_default: self.capacity_default.unwrap_or(rules.capacity_default),
            capacity_max: self.capacity_max.unwrap_or(rules.capacity_max),
            named_overflow: self.named_overflow.unwrap_or(rules.named_overflow),
            connections_max: self.connections_max.map_or(rules.connections_max, |limit| limit.0),
            resume: self.resume.unwrap_or(rules.resume),
            emit_needs_identity: self.emit_needs_identity.unwrap_or(rules.emit_needs_identity),
            events: self.events.clone().or(rules.events),
            message_units_max: self.message_units_max.unwrap_or(rules.message_units_max),
            recipients_max: self.recipients_max.unwrap_or(rules.recipients_max),
            user_info_bytes_max: self.user_info_bytes_max.unwrap_or(rules.user_info_bytes_max),
            shard_info_bytes_max: self.shard_info_bytes_max.unwrap_or(rules.shard_info_bytes_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    fn with(sets: &[&str]) -> Result<Projects, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets).map(|config| config.projects)
    }

    fn rules_of(rules: &SharedRules, id: &str) -> Option<Arc<ProjectRules>> {
        rules.by_project()(&ProjectId::new(id).unwrap())
    }

    #[test]
    fn a_named_project_overrides_single_settings() {
        let projects = with(&[
            "projects.every.capacity_max=20",
            "projects.every.connections_max=9",
            "projects.every.events=tap",
            "projects.named.game.capacity_max=4",
            "projects.named.game.connections_max=none",
        ])
        .unwrap();
        let rules = SharedRules::new(&projects);
        let (game, other) = (rules_of(&rules, "game").unwrap(), rules_of(&rules, "other").unwrap());
        assert_eq!((game.capacity_max, game.connections_max), (4, None));
        assert_eq!((other.capacity_max, other.connections_max), (20, Some(9)));
        assert_eq!((&game.events, &other.events), (&Some(vec!["tap".into()]), &Some(vec!["tap".into()])));
        rules.set(&with(&["projects.any=false", "projects.named.game.capacity_max=5"]).unwrap());
        assert_eq!(rules_of(&rules, "game").unwrap().capacity_max, 5);
        assert!(rules_of(&rules, "other").is_none());
    }

    #[test]
    fn invalid_rights_are_reported_with_their_key_and_the_likely_fix() {
        for (bad, named) in [
            (r##"{ "#a" = "x" }"##, "the letter `x`"),
            (r##"{ "lobby" = "j" }"##, "`#room`"),
            (r##"{ "#a*b" = "j" }"##, "before its end"),
            (r##"{ "#a" = 1 }"##, "expected a string"),
            ("j", "expected a section"),
        ] {
            for section in ["projects.every", "projects.named.game"] {
                let error = with(&[&format!("{section}.can={bad}")]).expect_err(bad).to_string();
                assert!(error.starts_with(&format!("{section}.can")), "{bad}: {error}");
                assert!(error.contains(named), "{bad}: {error}");
            }
        }
        let projects = with(&[r##"projects.every.can={ "#chat-*" = "js" }"##]).unwrap();
        assert!(projects.every.rights().unwrap().is_some());
    }

    #[test]
    fn a_rule_out_of_its_bounds_is_refused() {
        for bad in [
            "capacity_max=0",
            "capacity_default=10001",
            "connections_max=0",
            "message_units_max=0",
            "message_units_max=128001",
            "recipients_max=0",
            "user_info_bytes_max=0",
            "shard_info_bytes_max=0",
        ] {
            let error = with(&[&format!("projects.named.game.{bad}")]).unwrap_err().to_string();
            let key = bad.split('=').next().unwrap();
            assert!(error.starts_with(&format!("projects.named.game.{key} is `")), "{bad}: {error}");
        }
    }
}
