//! Names of hosts in settings.

use super::error::InvalidSetting;

/// Checks names of hosts.
pub(super) fn check_hosts(key: &str, names: &[String]) -> Result<(), InvalidSetting> {
    let is_name = |name: &String| {
        !name.is_empty()
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
    };
    match names.iter().all(is_name) {
        true => Ok(()),
        false => Err(InvalidSetting::new(key, "expected host names without port, such as node-1.internal")),
    }
}
