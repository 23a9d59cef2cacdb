//! Settings from environment variables: `SWITCHBOARD_LIMITS__ENABLED` is `limits.enabled`.

use std::ffi::OsString;

use super::error::ConfigError;

/// The variables of settings begin with this; `__` stands for the dot.
pub(super) const PREFIX: &str = "SWITCHBOARD_";

/// Names the settings file; the command line reads it.
const FILE_VARIABLE: &str = "SWITCHBOARD_CONFIG";

/// The variables with our prefix.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Environment {
    /// Variables of settings, sorted by name.
    pub(super) settings: Vec<Variable>,
    /// Names of the variables that an orchestrator sets.
    pub(super) foreign: Vec<String>,
}

/// A variable that sets a setting.
#[derive(Debug, PartialEq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) text: String,
}

impl Variable {
    /// The key that it sets, such as `limits.enabled`.
    pub(super) fn key(&self) -> String {
        self.name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".")
    }
}

/// The variable that sets a key.
pub(super) fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

impl Environment {
    /// Selects the variables with our prefix. The error names a variable that is not text.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut found = Environment::default();
        for (name, value) in variables {
            let is_ours = |name: &&str| has_prefix(name) && *name != FILE_VARIABLE;
            let Some(name) = name.to_str().filter(is_ours) else { continue };
            let text = value.into_string().map_err(|_| ConfigError::NotText(name.into()))?;
            match is_of_orchestrator(&name[PREFIX.len()..].to_ascii_uppercase(), &text) {
                true => found.foreign.push(name.into()),
                false => found.settings.push(Variable { name: name.into(), text }),
            }
        }
        found.settings.sort_by(|a, b| a.name.cmp(&b.name));
        found.foreign.sort();
        Ok(found)
    }
}

fn has_prefix(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Returns true for a variable that Kubernetes sets in each pod for a Service whose name begins with
/// `switchboard`, or Docker for a linked container. `name` comes without our prefix.
///
/// Kubernetes: `_SERVICE_HOST`, `_SERVICE_PORT`, `_SERVICE_PORT_<port name>`, `_PORT`, and
/// `_PORT_<number>_<protocol>` with nothing, `_PROTO`, `_PORT` or `_ADDR` behind it. Docker sets the last
/// two of these, `_NAME` and `_ENV_<name>`.
fn is_of_orchestrator(name: &str, value: &str) -> bool {
    // The service's own name may continue behind our prefix: SWITCHBOARD_REDIS_SERVICE_HOST.
    let suffixes = || name.match_indices('_').map(|(at, _)| &name[at + 1..]).chain([name]);
    suffixes().any(|suffix| match suffix {
        "SERVICE_HOST" | "SERVICE_PORT" => true,
        // The value distinguishes it from a setting that an operator expects here.
        "PORT" => value.contains("://"),
        "NAME" => value.starts_with('/'),
        _ => {
            suffix.starts_with("SERVICE_PORT_")
                || suffix.starts_with("ENV_")
                || suffix.strip_prefix("PORT_").is_some_and(is_port_and_protocol)
        }
    })
}

/// `6379_TCP`, `6379_TCP_ADDR` and the like.
fn is_port_and_protocol(text: &str) -> bool {
    let mut parts = text.split('_');
    let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
    let part = matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"));
    port && protocol && part && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().map(|(name, value)| (name.into(), value.into()))).unwrap()
    }

    #[test]
    fn variables_of_an_orchestrator_are_no_settings() {
        let of_kubernetes = [
            ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
            ("SWITCHBOARD_SERVICE_PORT", "3000"),
            ("SWITCHBOARD_SERVICE_PORT_WEB", "3000"),
            ("SWITCHBOARD_PORT", "tcp://10.0.0.1:3000"),
            ("SWITCHBOARD_PORT_3000_TCP", "tcp://10.0.0.1:3000"),
            ("SWITCHBOARD_PORT_3000_TCP_PROTO", "tcp"),
            ("SWITCHBOARD_PORT_3000_TCP_PORT", "3000"),
            ("SWITCHBOARD_PORT_3000_TCP_ADDR", "10.0.0.1"),
            ("SWITCHBOARD_PORT_53_UDP", "udp://[fd00::1]:53"),
            ("SWITCHBOARD_REDIS_PORT", "tcp://10.0.0.2:6379"),
            ("SWITCHBOARD_REDIS_SERVICE_HOST", "10.0.0.2"),
            ("SWITCHBOARD_REDIS_SERVICE_PORT_HTTP", "80"),
            ("SWITCHBOARD_API_V2_PORT_9_SCTP_ADDR", "10.0.0.3"),
            ("SWITCHBOARD_REDIS__OLD_SERVICE_PORT", "1"),
        ];
        let of_docker = [("SWITCHBOARD_NAME", "/app/switchboard"), ("SWITCHBOARD_ENV_PATH", "/bin")];
        for variable in of_kubernetes.into_iter().chain(of_docker) {
            let found = environment(&[variable]);
            assert_eq!((found.settings, &*found.foreign), (vec![], &[variable.0.to_owned()][..]));
        }
    }

    #[test]
    fn every_other_variable_with_the_prefix_is_a_setting() {
        for variable in [
            ("SWITCHBOARD_LISTEN", "127.0.0.1:3000"),
            ("SWITCHBOARD_LISTENS", "127.0.0.1:3000"),
            ("SWITCHBOARD_PORT", "3000"),
            ("SWITCHBOARD_HOST", "10.0.0.1"),
            ("SWITCHBOARD_NAME", "chat"),
            ("SWITCHBOARD_REDIS_URL", "redis://h"),
            ("SWITCHBOARD_REDIS__PORT", "6379"),
            ("SWITCHBOARD_PORT_WEB_TCP", "1"),
            ("SWITCHBOARD_PORT_80_HTTP", "1"),
            ("SWITCHBOARD_SERVICEHOST", "1"),
            ("SWITCHBOARD_", "1"),
        ] {
            assert_eq!(environment(&[variable]).settings.len(), 1, "{variable:?}");
        }
        let others = [("SWITCHBOARDS_LISTEN", "x"), ("LISTEN", "x"), (FILE_VARIABLE, "/etc/x.toml")];
        assert_eq!(environment(&others), Environment::default());
    }

    #[test]
    fn a_variable_names_its_key() {
        let found = environment(&[("SWITCHBOARD_MESA__SYNC__ENABLED", "true"), ("SWITCHBOARD_LISTEN", "x")]);
        assert_eq!(
            found.settings.iter().map(Variable::key).collect::<Vec<_>>(),
            ["listen", "mesa.sync.enabled"]
        );
        assert_eq!(name_of("mesa.sync.enabled"), "SWITCHBOARD_MESA__SYNC__ENABLED");
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_text_is_named() {
        use std::os::unix::ffi::OsStringExt;
        let latin1 = OsString::from_vec(b"\xe9".to_vec());
        let error = Environment::of([("SWITCHBOARD_AUTH__JWT_SECRET".into(), latin1)]).unwrap_err();
        assert!(error.to_string().contains("SWITCHBOARD_AUTH__JWT_SECRET"), "{error}");
        let other = OsString::from_vec(b"\xff".to_vec());
        assert!(Environment::of([("PATH".into(), other)]).is_ok());
    }
}
