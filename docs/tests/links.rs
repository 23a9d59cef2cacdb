//! Links and forms of the Markdown files of the repository.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Folders without documents of ours.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "dist", ".cargo"];

/// Longest decision, in lines.
const DECISION_LINES_MAX: usize = 15;

fn root() -> PathBuf {
    normal(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// A path without `.` and `..`, whether it exists or not.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

fn markdown_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !SKIPPED.contains(&&*name) {
            markdown_files(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

fn documents() -> HashMap<PathBuf, String> {
    let mut files = Vec::new();
    markdown_files(&root(), &mut files);
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a document is UTF-8");
        (file, text)
    };
    files.into_iter().map(read).collect()
}

/// The lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchors that GitHub makes of the headings.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut unique = anchor.clone();
        let mut count = 0;
        while !anchors.insert(unique.clone()) {
            count += 1;
            unique = format!("{anchor}-{count}");
        }
    }
    anchors
}

/// The targets of inline links.
fn links(text: &str) -> Vec<String> {
    let text = prose(text).collect::<Vec<_>>().join("\n");
    let behind = text.split("](").skip(1);
    behind.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// Why a relative link leads nowhere, if it does.
fn broken(from: &Path, link: &str, documents: &HashMap<PathBuf, String>) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = from.parent().expect("a file is in a folder");
    let target = if path.is_empty() { from.to_owned() } else { normal(&folder.join(path)) };
    if !target.exists() {
        return Some("no such file");
    }
    let text = documents.get(&target)?;
    (!anchor.is_empty() && !anchors(text).contains(anchor)).then_some("no such heading")
}

#[test]
fn relative_links_lead_to_files_and_headings() {
    let documents = documents();
    assert!(documents.len() > 50, "only {} documents were found", documents.len());
    let mut wrong = Vec::new();
    for (file, text) in &documents {
        for link in links(text) {
            if let Some(reason) = broken(file, &link, &documents) {
                wrong.push(format!(
                    "{}: {link}: {reason}",
                    file.strip_prefix(root()).unwrap_or(file).display()
                ));
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "broken links:\n{}", wrong.join("\n"));
}

#[test]
fn every_guide_with_rust_code_is_compiled() {
    let listed = include_str!("../lib.rs");
    for (file, text) in documents() {
        let is_guide = file.parent().is_some_and(|folder| folder.ends_with("docs/guides"));
        if is_guide && text.contains("```rust") {
            let name = file.file_name().expect("a file has a name").to_string_lossy();
            assert!(listed.contains(&format!("guides/{name}\"")), "docs/lib.rs lacks guides/{name}");
            assert!(!text.contains("```rust,ignore"), "guides/{name} has a block that is not compiled");
        }
    }
}

#[test]
fn decisions_are_short_numbered_and_indexed() {
    let folder = root().join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).expect("there is an index");
    let mut numbers = HashSet::new();
    for (file, text) in documents().into_iter().filter(|(file, _)| file.parent() == Some(&folder)) {
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        let number: u32 = name[..4].parse().unwrap_or_else(|_| panic!("{name} has no number"));
        let title = text.strip_prefix(&format!("# {number}. ")).and_then(|text| text.lines().next());
        let title = title.unwrap_or_else(|| panic!("{name} does not begin with its number and title"));
        assert!(numbers.insert(number), "{number} is used twice");
        assert!(
            text.lines().count() <= DECISION_LINES_MAX,
            "{name} is longer than {DECISION_LINES_MAX} lines"
        );
        assert!(index.contains(&format!("]({name}) {title}\n")), "the index lacks {name} with its title");
    }
}
