//! Reloading: which settings a running server can apply, and which differ.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Config, Projects};

impl Config {
    /// These settings with those of `loaded` that can be applied to a running server.
    pub(crate) fn reloaded(&self, loaded: &Config) -> Config {
        let mut next = self.clone();
        next.access = loaded.access;
        next.limits = loaded.limits.clone();
        next.limits.heartbeat_interval = self.limits.heartbeat_interval;
        next.clients = loaded.clients.clone();
        next.auth = loaded.auth.clone();
        next.internal.hosts = loaded.internal.hosts.clone();
        next.log.filter = loaded.log.filter.clone();
        if self.tls.is_on() && loaded.tls.is_on() {
            next.tls.certificates = loaded.tls.certificates.clone();
        }
        if self.api.is_on() {
            next.api.keys = loaded.api.keys.clone();
            next.api.named_keys = loaded.api.named_keys.clone();
            next.api.hosts = loaded.api.hosts.clone();
            next.api.requests_per_second = loaded.api.requests_per_second;
        }
        // Reports need the list of their projects at the start.
        if !self.koji.reports.enabled || self.projects.named.keys().eq(loaded.projects.named.keys()) {
            next.projects = Projects { default: self.projects.default.clone(), ..loaded.projects.clone() };
        }
        next
    }

    /// The keys whose values differ, sorted. No value is part of the result, so secrets are not, either.
    pub(crate) fn differences(&self, other: &Config) -> Vec<String> {
        let mut keys = differing_keys(&self.table(), &other.table());
        // Different secrets are shown alike.
        let secrets = [
            ("redis.sentinel_password", self.redis.sentinel_password != other.redis.sentinel_password),
            ("redis.url", self.redis.url != other.redis.url),
        ];
        keys.extend(secrets.into_iter().filter(|(_, differ)| *differ).map(|(key, _)| key.to_owned()));
        for (ours, others) in [
            (self.auth.secrets(), other.auth.secrets()),
            (self.api.secrets(), other.api.secrets()),
            (self.hooks.secrets(), other.hooks.secrets()),
            (self.handlers.secrets(), other.handlers.secrets()),
        ] {
            let differing = |(key, secrets): &(String, _)| others.get(key) != Some(secrets);
            keys.extend(ours.into_iter().filter(differing).map(|(key, _)| key));
        }
        keys.sort();
        keys.dedup();
        keys
    }
}

/// The keys whose values differ, sorted.
fn differing_keys(one: &Table, other: &Table) -> Vec<String> {
    let (mut old, new) = (BTreeMap::new(), &mut BTreeMap::new());
    flatten("", one, &mut old);
    flatten("", other, new);
    let mut keys: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| old.get(key) != new.get(key));
    keys
}

/// The values of all settings by their keys.
pub(super) fn flatten<'a>(section: &str, table: &'a Table, values: &mut BTreeMap<String, &'a Value>) {
    for (name, value) in table {
        let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, values),
            other => drop(values.insert(key, other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;

    #[test]
    fn a_reload_takes_what_a_running_server_can_apply_and_names_the_rest() {
        let running = with(&["api.keys=0123456789abcdef"]).unwrap();
        let loaded = with(&[
            "api.keys=fedcba9876543210",
            "api.named_keys.shop.keys=0123456789abcdef",
            "api.named_keys.shop.scopes=[\"read\"]",
            "api.requests_per_second=5",
            "api.body_bytes_max=5",
            "api.hosts=api.internal",
            "internal.hosts=node-1.internal",
            "auth.jwt_secret=a secret of this test, and long enough",
            "clients.allowed_origins=https://a.example",
            "clients.trusted_proxies=10.0.0.1",
            "limits.messages_per_s=5",
            "limits.heartbeat_interval_ms=5000",
            "log.filter=warn",
            "log.format=json",
            "projects.named.game.capacity_max=5",
            "projects.default=game",
            "redis=redis://h",
            "stop.window_ms=5",
        ])
        .unwrap();
        let next = running.reloaded(&loaded);
        let applied = [
            "api.hosts",
            "api.keys",
            "api.named_keys.shop.keys",
            "api.named_keys.shop.scopes",
            "api.requests_per_second",
            "auth.jwt_secret",
            "clients.allowed_origins",
            "clients.trusted_proxies",
            "internal.hosts",
            "limits.messages_per_s",
            "log.filter",
            "projects.named.game.capacity_max",
        ];
        assert_eq!(running.differences(&next), applied);
        let waiting = [
            "api.body_bytes_max",
            "limits.heartbeat_interval_ms",
            "log.format",
            "projects.default",
            "redis.url",
            "stop.window_ms",
        ];
        assert_eq!(next.differences(&loaded), waiting);
        assert_eq!(next.reloaded(&next), next);
        assert_eq!(next.differences(&next), [""; 0]);
    }

    #[test]
    fn a_setting_whose_listener_or_queue_is_missing_waits_for_the_next_start() {
        let off = with(&[]).unwrap();
        let on = with(&["api.keys=0123456789abcdef"]).unwrap();
        assert_eq!(off.reloaded(&on).differences(&on), ["api.keys"], "the API has no listener");
        assert_eq!(on.reloaded(&off), off, "a listener without keys refuses all");
        let reports = ["redis=redis://h", "koji.reports.enabled=true"];
        let one = with(&[&reports[..], &["projects.named.one.capacity_max=1"]].concat()).unwrap();
        let changed = with(&[&reports[..], &["projects.named.one.capacity_max=2"]].concat()).unwrap();
        assert_eq!(one.reloaded(&changed), changed);
        let two = with(&[&reports[..], &["projects.named.two.capacity_max=2"]].concat()).unwrap();
        assert_eq!(one.reloaded(&two), one, "reports know their projects from the start");
    }
}
