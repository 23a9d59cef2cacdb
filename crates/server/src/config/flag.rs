//! Settings from the command line: `--set section.key=value`.

use super::error::ConfigError;

/// One `--set section.key=value`.
#[derive(Debug, PartialEq)]
pub(super) struct Flag<'a> {
    pub(super) key: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Flag<'a> {
    pub(super) fn parse(flag: &'a str) -> Result<Self, ConfigError> {
        // The error omits the value, which may be a secret.
        let bad = || ConfigError::BadSet(flag.split('=').next().unwrap_or_default().into());
        let (key, text) = flag.split_once('=').ok_or_else(bad)?;
        let is_plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        match key.split('.').all(is_plain) {
            true => Ok(Flag { key, text }),
            false => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_a_key_and_everything_behind_the_first_equals_sign() {
        for (flag, key, text) in
            [("listen=1", "listen", "1"), ("a.b-c=x=y ", "a.b-c", "x=y "), ("a=", "a", "")]
        {
            assert_eq!(Flag::parse(flag).unwrap(), Flag { key, text });
        }
        for bad in ["listen", "=1", "a..b=1", "a b=1", ""] {
            assert!(matches!(Flag::parse(bad), Err(ConfigError::BadSet(_))), "{bad}");
        }
    }
}
