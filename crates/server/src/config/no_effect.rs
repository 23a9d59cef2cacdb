//! Settings that have no effect, because another one switches off their feature.

use toml::{Table, Value};

use super::error::InvalidSetting;
use super::sources::Merged;

/// Settings that have no effect.
pub(super) struct NoEffect {
    /// Keys of settings, or of sections with all their settings.
    keys: Vec<String>,
    /// Keys below these that have an effect nevertheless.
    except: &'static [&'static str],
    /// A name of sections whose settings have an effect nevertheless.
    except_sections: Option<&'static str>,
    /// Why, as the end of a sentence: "mesa.enabled is `false`".
    reason: &'static str,
    /// The switches that are off. None if the settings have no switch of their own.
    switches: &'static [&'static str],
}

impl NoEffect {
    /// The settings of `keys` have no effect, because of `reason`.
    pub(super) fn of(keys: &[impl ToString], reason: &'static str) -> Self {
        let keys = keys.iter().map(ToString::to_string).collect();
        NoEffect { keys, except: &[], except_sections: None, reason, switches: &[] }
    }

    /// Excepts the switch itself and other settings.
    pub(super) fn except(self, except: &'static [&'static str]) -> Self {
        NoEffect { except, ..self }
    }

    /// Excepts the settings in sections of this name.
    pub(super) fn except_sections(self, name: &'static str) -> Self {
        NoEffect { except_sections: Some(name), ..self }
    }

    /// Names the switches. A setting that has its default is reported only while they are not set.
    pub(super) fn with_switches(self, switches: &'static [&'static str]) -> Self {
        NoEffect { switches, ..self }
    }

    /// One line for each setting that a source sets without effect. `effective` are all settings as they
    /// are shown.
    fn lines(&self, merged: &Merged, effective: &Table, defaults: &Table) -> Vec<String> {
        let is_reported = |key: &String| {
            let is_changed = value_at(effective, key) != value_at(defaults, key);
            let is_switched =
                self.switches.is_empty() || self.switches.iter().any(|switch| merged.sets(switch));
            let is_excepted = self.except.contains(&key.as_str())
                || self.except_sections.is_some_and(|name| key.split('.').any(|part| part == name));
            !is_excepted && (is_changed || !is_switched)
        };
        let line = |key: String| {
            let problem = format!("it has no effect, because {}", self.reason);
            merged.locate(InvalidSetting::new(key, problem)).to_string()
        };
        let keys = self.keys.iter().flat_map(|key| merged.keys_in(key));
        keys.filter(is_reported).map(line).collect()
    }
}

/// One line for each setting that a source sets without effect.
pub(super) fn warnings(
    rules: &[NoEffect],
    merged: &Merged,
    effective: &Table,
    defaults: &Table,
) -> Vec<String> {
    rules.iter().flat_map(|rule| rule.lines(merged, effective, defaults)).collect()
}

fn value_at<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    table.iter().find_map(|(name, value)| match key.strip_prefix(name.as_str())? {
        "" => Some(value),
        // A name may itself contain dots, such as a project's.
        rest => value_at(value.as_table()?, rest.strip_prefix('.')?),
    })
}

#[cfg(test)]
mod tests {
    use switchboard::Limits;

    use super::super::{Config, Sources};

    fn warnings(sets: &[&str]) -> Vec<String> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        let loaded = Config::load_from(&Sources::new(None, &sets));
        loaded.map_or_else(|error| panic!("{sets:?}: {error}"), |loaded| loaded.warnings)
    }

    #[test]
    fn a_setting_whose_switch_is_off_is_reported_with_the_switch() {
        for (set, switch) in [
            ("mesa.listen=0.0.0.0:4000", "mesa.enabled is `false`"),
            ("mesa.listen=127.0.0.1:4000", "mesa.enabled is `false`"),
            ("mesa.namespace=api", "mesa.enabled is `false`"),
            ("mesa.heartbeat.enabled=true", "mesa.enabled is `false`"),
            ("inbox.messages_max=5", "inbox.enabled is `false`"),
            ("reports.partitions=16", "mesa.portal.enabled are `false`"),
            ("emit.bridge_prefix=chat", "emit.bridge is `false`"),
            ("redis.prefix=chat", "redis.url is not set"),
            ("node.lease_ms=9000", "redis.url is not set"),
            ("api.listen=127.0.0.1:5000", "api.keys and api.named_keys are not set"),
            ("auth.leeway_s=5", "all tokens are refused"),
            ("auth.audience=chat", "auth.jwks_url are not set"),
            ("auth.jwks_ca_file=Cargo.toml", "there is no jwks_url beside it"),
        ] {
            let (key, value) = set.split_once('=').unwrap();
            let [warning] = &warnings(&[set])[..] else { panic!("{set}: {:?}", warnings(&[set])) };
            let expected = format!("{key} is `{value}` (--set {key}); it has no effect, because ");
            assert!(warning.starts_with(&expected) && warning.contains(switch), "{warning}");
        }
    }

    #[test]
    fn a_setting_below_a_switch_of_a_part_is_reported_only_while_that_is_off() {
        let tls = "redis=rediss://h";
        for (on, part, switch) in [
            (&["mesa.enabled=true"][..], "mesa.heartbeat.interval_ms=500", "mesa.heartbeat.enabled=true"),
            (&["mesa.enabled=true"], "mesa.reconnect.interval_ms=500", "mesa.reconnect.enabled=true"),
            (
                &["mesa.enabled=true"],
                "mesa.authentication.timeout_ms=500",
                "mesa.authentication.required=true",
            ),
            (&["mesa.enabled=true"], "mesa.sync.redelivery_interval_ms=5", "inbox.enabled=true"),
            (&["mesa.enabled=true", tls], "mesa.portal.distribute_load=false", "mesa.portal.enabled=true"),
            (&["koji.enabled=false"], "koji.ping_interval_ms=5000", "koji.enabled=true"),
            (&["koji.enabled=false"], "projects.any=false", "koji.enabled=true"),
            (&["koji.enabled=false"], "projects.named.game.capacity_max=5", "koji.enabled=true"),
            (&[tls], "inbox.messages_max=5", "inbox.enabled=true"),
            (&["limits.enabled=false"], "limits.messages_per_s=5", "limits.enabled=true"),
        ] {
            assert_eq!(warnings(&[on, &[part]].concat()).len(), 1, "{part}");
            assert_eq!(warnings(&[on, &[part, switch]].concat()), [""; 0], "{part}");
        }
        let file = "inbox.path=other.redb";
        assert_eq!(warnings(&["inbox.enabled=true", file]), [""; 0]);
        assert!(warnings(&["inbox.enabled=true", file, tls])[0].contains("which redis.url names"));
    }

    #[test]
    fn a_setting_of_a_project_whose_id_contains_a_dot_is_reported() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        let switches = ["koji.enabled=false".to_owned()];
        for capacity in [1, 5] {
            let project = format!("[projects.named.\"a.b\"]\ncapacity_max = {capacity}\n");
            std::fs::write(&file, project).unwrap();
            let loaded = Config::load_from(&Sources::new(Some(file.as_ref()), &switches)).ok().unwrap();
            let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
            assert!(warning.contains("projects.named.a.b.capacity_max"), "{warning}");
        }
    }

    #[test]
    fn rights_of_projects_have_an_effect_without_koji() {
        for key in ["projects.every.can", "projects.named.game.can"] {
            let rights = format!(r##"{key}={{ "#news" = "j" }}"##);
            assert_eq!(warnings(&["koji.enabled=false", &rights]), [""; 0]);
        }
    }

    #[test]
    fn the_printed_settings_are_loaded_without_warnings() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for sets in [
            &[][..],
            &["koji.enabled=false"],
            &["mesa.enabled=true", "redis=redis://h"],
            &["limits.enabled=false"],
        ] {
            let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
            let config = Config::load(None, &sets).unwrap();
            std::fs::write(&file, config.to_toml()).unwrap();
            let loaded = Config::load_from(&Sources::new(Some(file.as_ref()), &[])).ok().unwrap();
            assert_eq!((loaded.warnings, loaded.config), (vec![], config));
        }
    }

    #[test]
    fn every_limit_that_limits_enabled_lifts_is_reported_without_effect() {
        let settings = toml::Table::try_from(Limits::default()).unwrap();
        let numbers = settings.into_iter().filter(|(_, value)| value.is_integer() || value.is_str());
        let limits: toml::Table = numbers.map(|(name, _)| (name, 4999.into())).collect();
        let limits: Limits = limits.try_into().unwrap();
        let without = toml::Table::try_from(limits.without_rates().effective()).unwrap();
        let lifted = without.iter().filter(|(_, value)| value.is_str()).map(|(name, _)| name);
        let (mut sets, keys): (Vec<String>, Vec<String>) =
            lifted.map(|name| (format!("limits.{name}=4999"), format!("limits.{name}"))).unzip();
        assert!(keys.len() >= 6, "{keys:?}");
        sets.push("limits.enabled=false".into());
        let warnings = Config::load_from(&Sources::new(None, &sets)).ok().unwrap().warnings;
        let mut named: Vec<&str> = warnings.iter().filter_map(|warning| warning.split(' ').next()).collect();
        named.sort();
        assert_eq!(named, keys);
    }
}
