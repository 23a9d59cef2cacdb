//! Settings of many nodes as one: where Redis is, and this node among the others.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use serde::{Deserialize, Serialize, Serializer};
use switchboard_redis::{Mode, Options};

use super::ConfigError;
use super::secret::{Secret, Secrets};

/// Settings of Redis. Without an address the node is alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Addresses: `redis://[user][:password@]host[:port][/database]`, `rediss://…` for TLS; a text, or
    /// a list for a cluster or Sentinel. Default none.
    #[serde(skip_serializing_if = "Addresses::is_empty")]
    pub url: Addresses,
    /// How Redis is run. Default `single`.
    pub mode: RedisMode,
    /// The name of the master that the sentinels watch. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The sentinels' own password. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_password: Option<Secret>,
    /// A PEM file with the authorities that are believed in place of Mozilla's, for `rediss://`.
    /// Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What every key and channel begins with. Nodes with the same are one. Default `switchboard`.
    pub prefix: String,
    /// Whether the server ends if Redis cannot be reached at the start. Default true.
    pub required: bool,
}

/// How Redis is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One server.
    Single,
    /// Redis Cluster; the addresses are some of its nodes.
    Cluster,
    /// Sentinel; the addresses are the sentinels'.
    Sentinel,
}

/// Settings of this node among the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// After how long a node that says nothing is taken for dead. Default 6,000 ms, the least is 1,000.
    pub lease_ms: u64,
}

impl Default for Redis {
    fn default() -> Self {
        Redis {
            url: Addresses::default(),
            mode: RedisMode::Single,
            master: None,
            sentinel_password: None,
            ca_file: None,
            prefix: "switchboard".into(),
            required: true,
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Node { lease_ms: 6000 }
    }
}

impl Redis {
    pub(super) fn check(&self, node: &Node) -> Result<(), ConfigError> {
        let wrong = |what: String| Err(ConfigError::Value(what));
        if node.lease_ms < 1000 {
            return wrong(format!("node.lease_ms is {}; the least is 1000", node.lease_ms));
        }
        if self.prefix.contains(['{', '}']) {
            return wrong("redis.prefix contains a brace; a cluster would find no slot by it".into());
        }
        let by_sentinel = self.mode == RedisMode::Sentinel;
        if by_sentinel && self.master.is_none() {
            return wrong("redis.mode is sentinel, and redis.master is not set".into());
        }
        if !by_sentinel && (self.master.is_some() || self.sentinel_password.is_some()) {
            return wrong("redis.master and redis.sentinel_password are for redis.mode sentinel".into());
        }
        let count = self.url.0.len();
        if count == 0 && self.mode != RedisMode::Single {
            return wrong(format!("redis.mode is {}, and redis.url is not set", self.mode));
        }
        if count > 1 && self.mode == RedisMode::Single {
            return wrong(format!("redis.url has {count} addresses, and redis.mode single uses one"));
        }
        let Some(options) = self.options(node)? else { return Ok(()) };
        options.check().or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            wrong(format!("redis.url or redis.ca_file cannot be used: {cause}"))
        })
    }

    /// What to connect with, but for bridges and inboxes; `None` if the node is alone.
    pub(super) fn options(&self, node: &Node) -> Result<Option<Options>, ConfigError> {
        let urls: Vec<String> = self.url.0.iter().map(|url| url.reveal().into()).collect();
        let Some(first) = urls.first() else { return Ok(None) };
        let mode = match self.mode {
            RedisMode::Single => Mode::Single,
            RedisMode::Cluster => Mode::Cluster,
            RedisMode::Sentinel => Mode::Sentinel {
                master: self.master.clone().unwrap_or_default(),
                password: self.sentinel_password.as_ref().map(|password| password.reveal().into()),
            },
        };
        let options = Options {
            mode,
            root_certificates: self.ca_file.as_deref().map(read).transpose()?,
            prefix: self.prefix.clone(),
            required: self.required,
            lease: Duration::from_millis(node.lease_ms),
            ..Options::new(first)
        };
        Ok(Some(Options { urls, ..options }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        ConfigError::Value(format!("redis.ca_file {} cannot be read: {error}", path.display()))
    })
}

impl fmt::Display for RedisMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RedisMode::Single => "single",
            RedisMode::Cluster => "cluster",
            RedisMode::Sentinel => "sentinel",
        })
    }
}

/// Addresses, shown without users and passwords.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Addresses(Secrets);

impl Addresses {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each as it may be shown.
    pub fn shown(&self) -> Vec<String> {
        self.0.iter().map(|url| without_secrets(url.reveal())).collect()
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.shown()).finish()
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.shown()[..] {
            [one] => serializer.serialize_str(one),
            all => all.serialize(serializer),
        }
    }
}

/// Whatever stands where a password can, also in an address that is none.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (secret, place) = match rest.rsplit_once('@') {
        Some((_, place)) => ("***@", place),
        None => ("", rest),
    };
    match place.split_once('?') {
        Some((place, _)) => format!("{scheme}{secret}{place}?***"),
        None => format!("{scheme}{secret}{place}"),
    }
}

/// A source of settings in which `redis = "…"` is `redis.url = "…"`.
pub(super) struct WithShortForm<P>(pub(super) P);

impl<P: Provider> Provider for WithShortForm<P> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut data = self.0.data()?;
        for settings in data.values_mut() {
            if let Some(short) = settings.get_mut("redis").filter(|value| value.as_dict().is_none()) {
                *short = Value::from(Dict::from([("url".to_owned(), short.clone())]));
            }
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn with(sets: &[&str]) -> Result<Redis, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets).map(|config| config.redis)
    }

    #[test]
    fn the_short_form_is_the_address_and_keeps_the_rest() {
        let long = with(&["redis.url=redis://h:1", "redis.prefix=p"]).unwrap();
        assert_eq!(with(&["redis.prefix=p", "redis=redis://h:1"]).unwrap(), long);
        assert_eq!(with(&["redis=redis://h:1", "redis.prefix=p"]).unwrap(), long);
        let file: Config =
            figment::Figment::from(figment::providers::Serialized::defaults(Config::default()))
                .merge(WithShortForm(
                    <super::super::toml_format::Toml as figment::providers::Format>::string(
                        "redis = \"redis://h:1\"",
                    ),
                ))
                .extract()
                .unwrap();
        assert_eq!(file.redis, Redis { prefix: "switchboard".into(), ..long });
        let several = with(&["redis=[\"redis://h:1\", \"redis://h:2\"]", "redis.mode=cluster"]).unwrap();
        assert_eq!(several.url.shown(), ["redis://h:1", "redis://h:2"]);
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "redis://:s3cret@h:1/2",
            "rediss://me:s3cret@h",
            "redis://s3cret@h",
            "redis://:s3@cret@h",
            "redis://:s3?cret@h",
            "redis://:s3/cret@h",
            "redis+unix:///run/redis?pass=s3cret",
            "nonsense:s3cret@h",
            ":s3cret@",
        ] {
            let shown = match with(&[&format!("redis={url}")]) {
                Ok(redis) => format!("{redis:?}{}", toml::to_string(&redis).unwrap()),
                Err(error) => error.to_string(),
            };
            assert!(!shown.contains("s3") && !shown.contains("cret"), "{url}: {shown}");
        }
        let sentinel = [
            "redis=redis://:s3cret@h:1",
            "redis.mode=sentinel",
            "redis.master=m",
            "redis.sentinel_password=12345",
        ];
        let redis = with(&sentinel).unwrap();
        let shown = format!("{redis:?}{}", toml::to_string(&redis).unwrap());
        assert!(
            shown.contains("***@h:1") && !shown.contains("s3cret") && !shown.contains("12345"),
            "{shown}"
        );
        let Some(Options { mode: Mode::Sentinel { password, .. }, .. }) =
            redis.options(&Node::default()).unwrap()
        else {
            panic!("the mode is sentinel")
        };
        assert_eq!(password.as_deref(), Some("12345"));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (sets, named) in [
            (&["redis=http://h"][..], "redis.url"),
            (&["redis="], "redis.url"),
            (&["redis=redis://h", "redis.mode=both"], "redis.mode"),
            (&["redis.mode=cluster"], "redis.url is not set"),
            (&["redis=redis://h", "redis.mode=sentinel"], "redis.master"),
            (&["redis=redis://h", "redis.master=m"], "redis.mode sentinel"),
            (&["redis=[\"redis://h:1\", \"redis://h:2\"]"], "2 addresses"),
            (&["redis=redis://h", "redis.prefix=a{b"], "redis.prefix"),
            (&["redis=rediss://h", "redis.ca_file=/no/such/file"], "redis.ca_file"),
            (&["redis=rediss://h", "redis.ca_file=Cargo.toml"], "certificate"),
            (&["node.lease_ms=10"], "node.lease_ms is 10; the least is 1000"),
        ] {
            let error = with(sets).unwrap_err().to_string();
            assert!(error.contains(named), "{sets:?}: {error}");
        }
        assert_eq!(with(&[]).unwrap(), Redis::default());
    }
}
