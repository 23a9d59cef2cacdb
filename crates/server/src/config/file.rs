//! Files that settings name.

use std::path::Path;

use super::error::InvalidSetting;

/// Checks that a file which the setting `key` names can be created.
pub(super) fn check_folder(key: &str, path: &Path) -> Result<(), InvalidSetting> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let problem = match folder {
        Some(folder) if !folder.is_dir() => format!("there is no folder {}", folder.display()),
        _ if path.is_dir() => "expected a file, found a folder".into(),
        _ => return Ok(()),
    };
    let hint = format!("create the folder, or set {key} to a file in another one");
    Err(InvalidSetting::new(key, problem).with_hint(hint))
}

/// Reads the file that the setting `key` names.
pub(super) fn read(key: &str, path: &Path) -> Result<Vec<u8>, InvalidSetting> {
    std::fs::read(path)
        .map_err(|error| InvalidSetting::new(key, format!("expected a readable file: {error}")))
}
