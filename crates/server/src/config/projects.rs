//! Settings of projects: which there are, and what holds in each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use switchboard::{Name, ProjectId, ProjectRules};

use super::ConfigError;

/// Settings of projects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Projects {
    /// The project of emit clients, which name none. Default `default`.
    pub default: String,
    /// Whether every project a client names exists. Default true; else only those in `named` do.
    pub any: bool,
    /// What holds in every project that does not say otherwise.
    pub every: ProjectSettings,
    /// What holds in single projects, by their ids.
    pub named: BTreeMap<String, ProjectSettings>,
}

/// What holds in a project; what is not set holds as it does in every project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[serde(rename_all = "snake_case")]
pub struct ProjectSettings {
    /// Seats of an automatic shard where the client asks for no number. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_default: Option<u32>,
    /// Most seats that a client may ask for. Default and most 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_max: Option<u32>,
    /// Whether who asks for a named shard that is full gets an automatic one. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_overflow: Option<bool>,
    /// Most clients of the project. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<usize>,
    /// Whether only clients with a user may emit. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emit_needs_identity: Option<bool>,
    /// Names of events that clients may emit, `chat_*` for all that begin so. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// Longest message in UTF-16 units. Default and most 128,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_units_max: Option<usize>,
    /// Most bytes of a client's user info. Default 16,384.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_info_bytes_max: Option<usize>,
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
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Err(error) = Name::new(&self.default) {
            return Err(ConfigError::Value(format!("projects.default cannot be used: {error}")));
        }
        self.every.check("projects.every")?;
        for (id, settings) in &self.named {
            if let Err(error) = Name::new(id) {
                return Err(ConfigError::Value(format!("projects.named has an id that cannot be: {error}")));
            }
            settings.check(&format!("projects.named.{id}"))?;
        }
        Ok(())
    }

    /// Says of a project what holds in it, if it exists.
    pub(crate) fn rules(&self) -> impl Fn(&ProjectId) -> Option<Arc<ProjectRules>> + Send + Sync + 'static {
        let every = Arc::new(self.every.over(ProjectRules::default()));
        let rules =
            |(id, own): (&String, &ProjectSettings)| (id.clone(), Arc::new(own.over((*every).clone())));
        let named: HashMap<String, Arc<ProjectRules>> = self.named.iter().map(rules).collect();
        let others = self.any.then(|| every.clone());
        move |id| named.get(id.as_str()).or(others.as_ref()).cloned()
    }
}

impl ProjectSettings {
    fn check(&self, at: &str) -> Result<(), ConfigError> {
        let most = ProjectRules::CAPACITY_MOST;
        for (key, capacity) in
            [("capacity_default", self.capacity_default), ("capacity_max", self.capacity_max)]
        {
            if let Some(seats) = capacity.filter(|seats| !(1..=most).contains(seats)) {
                return Err(ConfigError::Value(format!("{at}.{key} is {seats}; it can be 1 to {most}")));
            }
        }
        let most = ProjectRules::default().message_units_max;
        if let Some(units) = self.message_units_max.filter(|units| *units > most) {
            return Err(ConfigError::Value(format!("{at}.message_units_max is {units}; the most is {most}")));
        }
        Ok(())
    }

    /// These settings where they are set, and `rules` elsewhere.
    fn over(&self, rules: ProjectRules) -> ProjectRules {
        ProjectRules {
            capacity_default: self.capacity_default.unwrap_or(rules.capacity_default),
            capacity_max: self.capacity_max.unwrap_or(rules.capacity_max),
            named_overflow: self.named_overflow.unwrap_or(rules.named_overflow),
            connections_max: self.connections_max.or(rules.connections_max),
            emit_needs_identity: self.emit_needs_identity.unwrap_or(rules.emit_needs_identity),
            events: self.events.clone().or(rules.events),
            message_units_max: self.message_units_max.unwrap_or(rules.message_units_max),
            user_info_bytes_max: self.user_info_bytes_max.unwrap_or(rules.user_info_bytes_max),
        }
    }
}
