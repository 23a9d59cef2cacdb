//! Settings of reports to workers: which clients are reported, and the bounds of the queues.

use serde::{Deserialize, Serialize};
use switchboard::{ProjectId, Protocol};
use switchboard_redis::{LegacyPortals, ReportOptions};

use super::emit::Emit;
use super::error::InvalidSetting;
use super::koji::Koji;
use super::mesa::Mesa;
use super::no_effect::NoEffect;
use super::projects::Projects;
use super::redis::{Redis, RedisMode};

/// Settings of reports to workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Number of partitions of a project's clients, from 1 to 1,024. Each has one worker of a group, so
    /// more workers have no work. A change takes effect when no group exists. Default 16.
    pub partitions: u16,
    /// Reports that one partition stores for one group; at the bound the oldest is removed and counted.
    /// Default 100,000.
    pub backlog_max: u64,
    /// Bytes of reports that this node queues for Redis; at the bound a new report is dropped and
    /// counted. Default 16,777,216.
    pub queue_bytes_max: usize,
}

/// The settings that decide which clients are reported.
pub(super) struct ReportedClients<'a> {
    pub(super) emit: &'a Emit,
    pub(super) koji: &'a Koji,
    pub(super) mesa: &'a Mesa,
    pub(super) projects: &'a Projects,
    pub(super) redis: &'a Redis,
}

impl Default for Reports {
    fn default() -> Self {
        let project = ProjectId::new("default").expect("the name is neither empty nor long");
        let ReportOptions { partitions, backlog_max, bytes_max, .. } = ReportOptions::of(&project);
        Reports { partitions, backlog_max, queue_bytes_max: bytes_max }
    }
}

impl Reports {
    pub(super) fn check(&self, reported: &ReportedClients<'_>) -> Result<(), InvalidSetting> {
        reported.check()?;
        if !(1..=1024).contains(&self.partitions) {
            return Err(InvalidSetting::new("reports.partitions", "expected 1 to 1024"));
        }
        if self.backlog_max == 0 {
            return Err(InvalidSetting::new("reports.backlog_max", "expected at least 1"));
        }
        if self.queue_bytes_max == 0 {
            return Err(InvalidSetting::new("reports.queue_bytes_max", "expected at least 1"));
        }
        Ok(())
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self, reported: &ReportedClients<'_>) -> Option<NoEffect> {
        const SWITCHES: &[&str] = &["emit.reports.enabled", "koji.reports.enabled", "mesa.portal.enabled"];
        let reason = "no clients are reported: emit.reports.enabled, koji.reports.enabled and mesa.portal.enabled are `false`";
        reported.protocols().is_empty().then(|| NoEffect::of(&["reports"], reason).with_switches(SWITCHES))
    }

    /// The reports, as options of Redis; `None` if no client is reported.
    pub(super) fn options(&self, reported: &ReportedClients<'_>) -> Option<ReportOptions> {
        let projects = reported.projects();
        if projects.is_empty() {
            return None;
        }
        let legacy_portals = reported.legacy_portals();
        let Reports { partitions, backlog_max, queue_bytes_max: bytes_max } = *self;
        Some(ReportOptions { projects, partitions, backlog_max, bytes_max, legacy_portals })
    }
}

impl ReportedClients<'_> {
    fn check(&self) -> Result<(), InvalidSetting> {
        for (key, is_on) in [
            ("emit.reports.enabled", self.emit.reports.enabled),
            ("koji.reports.enabled", self.koji.reports.enabled),
            ("mesa.portal.enabled", self.mesa.portal.enabled),
        ] {
            if is_on && self.redis.url.is_empty() {
                let hint = "reports go through Redis; set redis.url";
                return Err(InvalidSetting::new(key, "redis.url is not set, which it needs").with_hint(hint));
            }
        }
        if self.koji.reports.enabled && self.projects.named.is_empty() {
            let problem = "projects.named is empty, so no client would be reported";
            let hint = "add the project as [projects.named.ID]";
            return Err(InvalidSetting::new("koji.reports.enabled", problem).with_hint(hint));
        }
        Ok(())
    }

    /// The protocols with reports.
    pub(super) fn protocols(&self) -> Vec<Protocol> {
        let all = [
            (Protocol::Emit, self.emit.reports.enabled),
            (Protocol::Koji, self.koji.enabled && self.koji.reports.enabled),
            (Protocol::Mesa, self.mesa.enabled && self.mesa.portal.enabled),
        ];
        all.into_iter().filter(|(_, is_on)| *is_on).map(|(protocol, _)| protocol).collect()
    }

    /// The projects with reported clients, each once.
    fn projects(&self) -> Vec<ProjectId> {
        let name = |text: &String| ProjectId::new(text).expect("the settings were checked");
        let mut projects: Vec<ProjectId> = Vec::new();
        for protocol in self.protocols() {
            match protocol {
                Protocol::Emit => projects.push(name(&self.projects.default)),
                Protocol::Koji => projects.extend(self.projects.named.keys().map(name)),
                Protocol::Mesa => projects.push(self.mesa.project(self.projects)),
            }
        }
        projects.sort();
        projects.dedup();
        projects
    }

    /// The original Portals that get reports: those of Mesa clients, and not in Redis Cluster, which
    /// Portals cannot use.
    fn legacy_portals(&self) -> Option<LegacyPortals> {
        let are_served = self.protocols().contains(&Protocol::Mesa) && self.redis.mode != RedisMode::Cluster;
        are_served.then(|| LegacyPortals {
            namespace: self.mesa.namespace.clone(),
            distribute_load: self.mesa.portal.distribute_load,
            ..LegacyPortals::of(&self.mesa.project(self.projects))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;
    use super::*;

    const MESA: [&str; 3] = ["redis=redis://h", "mesa.enabled=true", "mesa.portal.enabled=true"];

    #[test]
    fn clients_are_reported_only_on_the_protocols_that_are_switched_on() {
        assert_eq!(with(&["redis=redis://h", "mesa.enabled=true"]).unwrap().report_options(), None);
        let config =
            with(&[&MESA[..], &["mesa.namespace=api", "mesa.portal.distribute_load=false"]].concat());
        let config = config.unwrap();
        let reports = config.report_options().unwrap();
        assert_eq!((config.reported_protocols(), &*reports.projects[0]), (vec![Protocol::Mesa], "api"));
        let originals = reports.legacy_portals.clone().unwrap();
        assert_eq!((originals.namespace.as_deref(), originals.distribute_load), (Some("api"), false));
        assert_eq!(config.redis().unwrap().unwrap().reports, Some(reports));
        let both = [&MESA[..], &["emit.reports.enabled=true", "reports.partitions=4"]].concat();
        let both = with(&both).unwrap().report_options().unwrap();
        assert_eq!((both.projects.len(), both.partitions), (1, 4), "both protocols use one project");
    }

    #[test]
    fn original_portals_are_left_out_in_a_cluster() {
        let config = with(&[&MESA[..], &["redis.mode=cluster"]].concat()).unwrap();
        assert_eq!(config.report_options().unwrap().legacy_portals, None);
    }

    #[test]
    fn an_invalid_setting_is_reported_with_its_key() {
        let redis = "redis=redis://h";
        for (sets, named) in [
            (
                &["emit.reports.enabled=true"][..],
                "emit.reports.enabled is `true` (--set emit.reports.enabled); redis.url is not set",
            ),
            (&["mesa.portal.enabled=true"], "mesa.portal.enabled"),
            (&["koji.reports.enabled=true"], "koji.reports.enabled"),
            (&[redis, "koji.reports.enabled=true"], "projects.named"),
            (
                &["reports.partitions=0"],
                "reports.partitions is `0` (--set reports.partitions); expected 1 to 1024",
            ),
            (&["reports.partitions=2000"], "reports.partitions is `2000`"),
            (&["reports.backlog_max=0"], "reports.backlog_max"),
        ] {
            let error = with(sets).unwrap_err().to_string();
            assert!(error.contains(named), "{sets:?}: {error}");
        }
    }
}
