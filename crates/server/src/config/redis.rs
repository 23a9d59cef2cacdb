//! Settings of Redis, and of this node's lease in it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use switchboard_redis::{ConnectError, Mode, Options};

use super::error::{ConfigError, InvalidSetting};
use super::file::read;
use super::no_effect::NoEffect;
use super::secret::{Secret, Secrets, without_secrets};

/// Settings of Redis. Without an address the node runs alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Address, `redis://[user][:password@]host[:port][/database]` or `rediss://…` for TLS; a list of
    /// addresses for Cluster and Sentinel. `redis = "…"` is short for it. Default none: the node runs alone.
    #[serde(skip_serializing_if = "Addresses::is_empty")]
    pub url: Addresses,
    /// `single`; `cluster`, where the addresses are some of the cluster's servers; or `sentinel`, where
    /// they are the sentinels'. Default `single`.
    pub mode: RedisMode,
    /// Name of the master that the sentinels watch; required in mode `sentinel`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Password of the sentinels; the servers' password is part of `redis.url`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_password: Option<Secret>,
    /// PEM file of the certificate authorities for `rediss://`, in place of Mozilla's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Prefix of every key and channel. Nodes with the same prefix form one cluster. Default `switchboard`.
    pub prefix: String,
    /// Ends the process with status 1 if Redis cannot be reached at the start. If false, the node starts
    /// alone and joins when Redis returns. Default true.
    pub required: bool,
}

/// How Redis is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One server.
    Single,
    /// Redis Cluster; the addresses are some of its servers.
    Cluster,
    /// Sentinel; the addresses are the sentinels'.
    Sentinel,
}

/// Settings of this node's lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Lease of the node in milliseconds, at least 1,000; it is renewed three times as often. When it
    /// expires, the other nodes treat the node as dead and remove its entries. Default 6,000.
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
    pub(super) fn check(&self, node: &Node) -> Result<(), InvalidSetting> {
        if node.lease_ms < 1000 {
            return Err(InvalidSetting::new("node.lease_ms", "expected at least 1000"));
        }
        if self.prefix.contains(['{', '}']) {
            let problem = "expected a string without braces, which Redis Cluster uses for slots";
            return Err(InvalidSetting::new("redis.prefix", problem));
        }
        self.check_mode()?;
        let Some(options) = self.build(node)? else { return Ok(()) };
        options.check().map_err(|error| {
            let ConnectError::Options(cause) = error else {
                return self.invalid_url("redis.url", error.to_string());
            };
            let key = if self.ca_file.is_some() { "redis.url, redis.ca_file" } else { "redis.url" };
            // The driver adds the kind of the error, which is always the same here.
            let cause = cause.to_string().replace(" - InvalidClientConfig", "");
            match cause.contains("did not parse") {
                true => self.invalid_url(key, "expected an address such as redis://127.0.0.1:6379".into()),
                false => self.invalid_url(key, format!("cannot be used: {cause}")),
            }
        })
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Vec<NoEffect> {
        if self.url.is_empty() {
            return vec![NoEffect::of(&["redis", "node"], "redis.url is not set, so the node runs alone")];
        }
        let has_tls = self.url.0.iter().any(|url| url.reveal().starts_with("rediss:"));
        let without_tls = NoEffect::of(&["redis.ca_file"], "no address in redis.url begins with rediss://");
        if has_tls { Vec::new() } else { vec![without_tls] }
    }

    /// The mode fits the number of addresses and the settings of the sentinels.
    fn check_mode(&self) -> Result<(), InvalidSetting> {
        let by_sentinel = self.mode == RedisMode::Sentinel;
        if by_sentinel && self.master.is_none() {
            let problem = "it needs redis.master, the name of the master that the sentinels watch";
            return Err(InvalidSetting::new("redis.mode", problem));
        }
        for (key, is_set) in [
            ("redis.master", self.master.is_some()),
            ("redis.sentinel_password", self.sentinel_password.is_some()),
        ] {
            if is_set && !by_sentinel {
                return Err(InvalidSetting::new(key, "it needs redis.mode sentinel"));
            }
        }
        let count = self.url.0.len();
        if count == 0 && self.mode != RedisMode::Single {
            return Err(InvalidSetting::new("redis.mode", "redis.url is not set, which it needs"));
        }
        if count > 1 && self.mode == RedisMode::Single {
            let problem = format!("expected one address, found {count} addresses");
            let hint = "redis.mode is single; set it to cluster or sentinel";
            return Err(self.invalid_url("redis.url", problem).with_hint(hint));
        }
        Ok(())
    }

    fn invalid_url(&self, key: &str, problem: String) -> InvalidSetting {
        InvalidSetting::new(key, problem).with_value(self.url.shown().join(", "))
    }

    /// The options of the connection, without bridges and inbox; `None` if the node runs alone.
    pub(super) fn options(&self, node: &Node) -> Result<Option<Options>, ConfigError> {
        Ok(self.build(node)?)
    }

    fn build(&self, node: &Node) -> Result<Option<Options>, InvalidSetting> {
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
            root_certificates: self.ca_file.as_deref().map(|path| read("redis.ca_file", path)).transpose()?,
            prefix: self.prefix.clone(),
            required: self.required,
            lease: Duration::from_millis(node.lease_ms),
            ..Options::new(first)
        };
        Ok(Some(Options { urls, ..options }))
    }
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

/// Addresses of Redis, displayed without users and passwords.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Addresses(Secrets);

impl Addresses {
    /// Returns true if there is no address.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses with `***` in place of users, passwords and parameters.
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
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        std::fs::write(&file, "redis = \"redis://h:1\"\n").unwrap();
        let file = Config::load(Some(file.as_ref()), &["redis.prefix=p".into()]).unwrap();
        assert_eq!(file.redis, long);
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
    fn an_invalid_setting_is_reported_with_its_key() {
        for (sets, named) in [
            (&["redis=http://h"][..], "redis.url"),
            (&["redis="], "redis.url"),
            (
                &["redis=localhost:6379"],
                "redis.url is `localhost:6379` (--set redis); expected an address such as redis://127.0.0.1:6379",
            ),
            (&["redis=redis://h", "redis.mode=both"], "redis.mode"),
            (&["redis.mode=cluster"], "redis.mode is `cluster` (--set redis.mode); redis.url is not set"),
            (&["redis=redis://h", "redis.mode=sentinel"], "redis.master"),
            (&["redis=redis://h", "redis.master=m"], "redis.mode sentinel"),
            (&["redis=[\"redis://h:1\", \"redis://h:2\"]"], "2 addresses"),
            (&["redis=redis://h", "redis.prefix=a{b"], "redis.prefix"),
            (&["redis=rediss://h", "redis.ca_file=/no/such/file"], "redis.ca_file"),
            (&["redis=rediss://h", "redis.ca_file=Cargo.toml"], "certificate"),
            (
                &["redis=redis://h/?db=1"],
                "redis.url is `redis://h/?***` (--set redis); the address of Redis cannot be used: expected no parameters",
            ),
            (&["redis=redis://h?protocol=resp2"], "the database is a path"),
            (&["redis=redis://me:12?34@h"], "%3F"),
            (&["redis=rediss://h#insecure"], "expected nothing after `#`"),
            (&["redis=redis://h/one"], "redis.url"),
            (&["redis=redis://h/1/2"], "redis.url"),
            (&["redis=redis://h/-1"], "expected a database from 0"),
            (&["redis=redis://h/1", "redis.mode=cluster"], "a cluster has only the first"),
            (&["node.lease_ms=10"], "node.lease_ms is `10` (--set node.lease_ms); expected at least 1000"),
        ] {
            let error = with(sets).unwrap_err().to_string();
            assert!(error.contains(named), "{sets:?}: {error}");
        }
        assert_eq!(with(&[]).unwrap(), Redis::default());
    }
}
