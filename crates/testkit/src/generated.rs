//! Committed files that are generated from the code, such as `docs/reference/` and `spec/openapi.json`.

use std::fs;
use std::path::Path;

/// Set to 1, this variable makes the tests write the files in place of comparing them.
pub const UPDATE: &str = "UPDATE_GENERATED";

/// Fails if the file at `path`, counted from the repository's root, is not `text`. With
/// `UPDATE_GENERATED=1` it writes the file.
pub fn assert_current(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("the folder can be created");
        fs::write(&file, text).expect("the file can be written");
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let line = committed.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = line.unwrap_or_else(|| committed.lines().count().min(text.lines().count())) + 1;
    assert!(
        committed == text,
        "{path} is stale from line {line} on; write it with `{UPDATE}=1 cargo nextest run -p switchboard-server -p switchboard-cli -E 'test(generated)'`"
    );
}
