//! Settings of reports to other processes: of which clients, and how much may wait.

use serde::{Deserialize, Serialize};
use switchboard::{ProjectId, Protocol};
use switchboard_redis::{LegacyPortals, ReportOptions};

use super::redis::RedisMode;
use super::{Config, ConfigError};

/// Settings of reports for workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Into how many parts the clients of a project are divided, from 1 to 1,024. Default 16. No more
    /// workers of a group have something to do. It changes when there is no group.
    pub partitions: u16,
    /// Most reports that wait in one part for one group. Default 100,000. Then the oldest gives way.
    pub backlog_max: u64,
    /// Most bytes of reports that wait on this node. Default 16 MiB. What comes on top is lost.
    pub queue_bytes_max: usize,
}

/// Whether clients of a door are reported to other processes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolReports {
    /// Whether they are. Default false.
    pub enabled: bool,
}

/// Whether Mesa clients are reported to other processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaPortal {
    /// Whether they are: to workers, and to original Portals of the same namespace. Default false.
    pub enabled: bool,
    /// Whether original Portals take turns; otherwise one is drawn. Default true.
    pub distribute_load: bool,
}

impl Default for Reports {
    fn default() -> Self {
        let project = ProjectId::new("default").expect("the name is neither empty nor long");
        let ReportOptions { partitions, backlog_max, bytes_max, .. } = ReportOptions::of(&project);
        Reports { partitions, backlog_max, queue_bytes_max: bytes_max }
    }
}

impl Default for MesaPortal {
    fn default() -> Self {
        MesaPortal { enabled: false, distribute_load: true }
    }
}

impl Reports {
    pub(super) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let wrong = |what: String| Err(ConfigError::Value(what));
        for (key, is_on) in [
            ("emit.reports.enabled", config.emit.reports.enabled),
            ("koji.reports.enabled", config.koji.reports.enabled),
            ("mesa.portal.enabled", config.mesa.portal.enabled),
        ] {
            if is_on && config.redis.url.is_empty() {
                return wrong(format!(
                    "{key} is on, and redis.url is not set\n\nhint: reports go through Redis"
                ));
            }
        }
        if config.koji.reports.enabled && config.projects.named.is_empty() {
            return wrong("koji.reports.enabled is on, and projects.named names no project".into());
        }
        if !(1..=1024).contains(&self.partitions) {
            return wrong(format!("reports.partitions is {}; it is from 1 to 1024", self.partitions));
        }
        if self.backlog_max == 0 || self.queue_bytes_max == 0 {
            return wrong("reports.backlog_max and reports.queue_bytes_max are at least 1".into());
        }
        Ok(())
    }
}

impl Config {
    /// The doors whose clients are reported.
    pub(crate) fn reported(&self) -> Vec<Protocol> {
        let doors = [
            (Protocol::Emit, self.emit.reports.enabled),
            (Protocol::Koji, self.koji.enabled && self.koji.reports.enabled),
            (Protocol::Mesa, self.mesa.enabled && self.mesa.portal.enabled),
        ];
        doors.into_iter().filter(|(_, is_on)| *is_on).map(|(door, _)| door).collect()
    }

    /// What is reported, for the options of Redis; `None` if nothing is.
    pub(crate) fn report_options(&self) -> Option<ReportOptions> {
        let name = |text: &str| ProjectId::new(text).expect("the settings were checked");
        let default = name(&self.projects.default);
        let of_mesa = self.mesa.namespace.as_deref().map_or_else(|| default.clone(), name);
        let doors = self.reported();
        let mut projects: Vec<ProjectId> = Vec::new();
        for door in &doors {
            match door {
                Protocol::Emit => projects.push(default.clone()),
                Protocol::Koji => projects.extend(self.projects.named.keys().map(|key| name(key))),
                Protocol::Mesa => projects.push(of_mesa.clone()),
            }
        }
        projects.sort();
        projects.dedup();
        if projects.is_empty() {
            return None;
        }
        // They do not live in a cluster.
        let originals = doors.contains(&Protocol::Mesa) && self.redis.mode != RedisMode::Cluster;
        let originals = originals.then(|| LegacyPortals {
            namespace: self.mesa.namespace.clone(),
            distribute_load: self.mesa.portal.distribute_load,
            ..LegacyPortals::of(&of_mesa)
        });
        let Reports { partitions, backlog_max, queue_bytes_max: bytes_max } = self.reports;
        Some(ReportOptions { projects, partitions, backlog_max, bytes_max, legacy_portals: originals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets)
    }

    const MESA: [&str; 3] = ["redis=redis://h", "mesa.enabled=true", "mesa.portal.enabled=true"];

    #[test]
    fn nobody_is_reported_until_a_door_says_so() {
        assert_eq!(with(&["redis=redis://h", "mesa.enabled=true"]).unwrap().report_options(), None);
        let config =
            with(&[&MESA[..], &["mesa.namespace=api", "mesa.portal.distribute_load=false"]].concat());
        let config = config.unwrap();
        let reports = config.report_options().unwrap();
        assert_eq!((config.reported(), &*reports.projects[0]), (vec![Protocol::Mesa], "api"));
        let originals = reports.legacy_portals.clone().unwrap();
        assert_eq!((originals.namespace.as_deref(), originals.distribute_load), (Some("api"), false));
        assert_eq!(config.redis().unwrap().unwrap().reports, Some(reports));
        let both = [&MESA[..], &["emit.reports.enabled=true", "reports.partitions=4"]].concat();
        let both = with(&both).unwrap().report_options().unwrap();
        assert_eq!((both.projects.len(), both.partitions), (1, 4), "they are of one project");
    }

    #[test]
    fn original_portals_are_left_out_in_a_cluster() {
        let config = with(&[&MESA[..], &["redis.mode=cluster"]].concat()).unwrap();
        assert_eq!(config.report_options().unwrap().legacy_portals, None);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let redis = "redis=redis://h";
        for (sets, named) in [
            (&["emit.reports.enabled=true"][..], "emit.reports.enabled is on, and redis.url is not set"),
            (&["mesa.portal.enabled=true"], "mesa.portal.enabled"),
            (&["koji.reports.enabled=true"], "koji.reports.enabled"),
            (&[redis, "koji.reports.enabled=true"], "projects.named"),
            (&["reports.partitions=0"], "reports.partitions is 0"),
            (&["reports.partitions=2000"], "reports.partitions is 2000"),
            (&["reports.backlog_max=0"], "reports.backlog_max"),
        ] {
            let error = with(sets).unwrap_err().to_string();
            assert!(error.contains(named), "{sets:?}: {error}");
        }
    }
}
