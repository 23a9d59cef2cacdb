//! Files that settings name.

use std::path::Path;

use super::error::InvalidSetting;

/// Reads the file that the setting `key` names.
pub(super) fn read(key: &str, path: &Path) -> Result<Vec<u8>, InvalidSetting> {
    std::fs::read(path)
        .map_err(|error| InvalidSetting::new(key, format!("expected a readable file: {error}")))
}
