//! The TOML blocks of the documents are valid settings.

use std::fs;
use std::path::Path;

use switchboard_server::Config;
use switchboard_server::config::Sources;
use switchboard_testkit::Scratch;

/// The TOML blocks of a document that are settings, not dependencies in a `Cargo.toml`.
fn blocks(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).expect("a document is text");
    let fenced = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    fenced.filter(|block| !block.lines().any(is_dependency)).map(str::to_owned).collect()
}

/// Returns true for lines such as `axum = "0.8"` and `serde = { version = "1" }`.
fn is_dependency(line: &str) -> bool {
    let Some((_, value)) = line.split_once(" = ") else { return false };
    let version = value.trim_matches('"');
    let is_version = version != value
        && version.split('.').count() < 4
        && version.split('.').all(|part| part.parse::<u32>().is_ok());
    is_version || ["{ version = ", "{ path = "].iter().any(|start| value.starts_with(start))
}

#[test]
fn every_toml_block_of_the_documents_loads_without_warnings() {
    let (root, scratch) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), Scratch::new());
    let guides = fs::read_dir(root.join("docs/guides")).expect("the guides are there");
    let guides = guides.map(|guide| guide.expect("a readable folder").path());
    let mut checked = 0;
    for document in guides.chain([root.join("README.md"), root.join("deploy/README.md")]) {
        for block in blocks(&document) {
            let file = scratch.file("settings.toml");
            fs::write(&file, &block).expect("the folder is the test's own");
            let place = document.display();
            let loaded = Config::load_from(&Sources::new(Some(file.as_ref()), &[]));
            let loaded = loaded.unwrap_or_else(|error| panic!("{place}: {error}\n{block}"));
            assert_eq!(loaded.warnings, [""; 0], "{place}\n{block}");
            checked += 1;
        }
    }
    assert!(checked > 12, "{checked} blocks");
}
