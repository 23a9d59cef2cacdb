//! The README and the guides give the lines of `Cargo.toml` that their Rust code needs.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The link of a guide to the lines in the README.
const LINES_OF_README: &str = "README.md#write-your-own-server";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The README, then the guides: path and text.
fn documents() -> Vec<(PathBuf, String)> {
    let guides = fs::read_dir(root().join("docs/guides")).expect("the folder is readable");
    let guides = guides.map(|entry| entry.expect("the entry is readable").path());
    let paths = [root().join("README.md")].into_iter().chain(guides);
    let read = |path: PathBuf| (fs::read_to_string(&path).expect("a document is UTF-8"), path);
    paths.map(read).map(|(text, path)| (path, text)).collect()
}

/// The lines of the fenced blocks that begin with this language.
fn code<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let mut lines = Vec::new();
    let mut is_code = false;
    for line in text.lines().map(str::trim) {
        match line.strip_prefix("```") {
            Some(info) => is_code = !is_code && info.split(',').next() == Some(language),
            None if is_code => lines.push(line),
            None => {}
        }
    }
    lines
}

/// The packages that `Cargo.toml` lines name.
fn named(text: &str) -> HashSet<&str> {
    let is_dependency =
        |line: &&str| line.contains("version = ") || line.contains("path = ") || line.contains(" = \"");
    let lines = code(text, "toml").into_iter().filter(is_dependency);
    lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect()
}

/// The packages that the Rust code of a document uses: those that this crate depends on to compile it.
fn used(text: &str) -> Vec<String> {
    let manifest = include_str!("../Cargo.toml");
    let (_, dependencies) = manifest.split_once("[dev-dependencies]").expect("there are some");
    let packages = dependencies.lines().filter_map(|line| Some(line.split_once(" = ")?.0));
    let rust = code(text, "rust").join("\n");
    let is_used = |package: &&str| {
        let path = format!("{}::", package.replace('-', "_"));
        rust.match_indices(&path).any(|(at, _)| {
            let before = rust[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    };
    packages.filter(is_used).map(str::to_owned).collect()
}

#[test]
fn documents_with_rust_code_give_its_lines_of_cargo_toml() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let mut count = 0;
    for (path, text) in documents() {
        let own = named(&text);
        let of_readme = if text.contains(LINES_OF_README) { named(&readme) } else { HashSet::new() };
        for package in used(&text) {
            let is_named = own.contains(&*package) || of_readme.contains(&*package);
            assert!(is_named, "{} uses {package} without its line of Cargo.toml", path.display());
            count += 1;
        }
    }
    assert!(count > 30, "only {count} uses were found");
}

#[test]
fn the_paths_in_lines_of_cargo_toml_lead_to_packages_of_that_name() {
    let mut count = 0;
    for (document, text) in documents() {
        for line in code(&text, "toml") {
            let Some((name, rest)) = line.split_once(" = { path = \"") else { continue };
            let path = rest.split('"').next().expect("there is a first part");
            let folder = path.strip_prefix("../switchboard/").unwrap_or_else(|| panic!("{line}"));
            let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml"));
            let manifest = manifest.unwrap_or_else(|error| panic!("{}: {path}: {error}", document.display()));
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{path} is not {name}");
            count += 1;
        }
    }
    assert!(count > 5, "only {count} paths were found");
}
