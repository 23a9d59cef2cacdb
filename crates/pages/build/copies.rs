//! Copies of the inputs, without the files that npm generated there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders that npm writes beside the sources.
const GENERATED: &[&str] = &["node_modules", "dist"];

/// Makes `to` equal to `from`: copies files that differ and removes files that `from` does not have.
pub(crate) fn mirror(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_file() {
        let content = fs::read(from)?;
        if fs::read(to).is_ok_and(|earlier| earlier == content) {
            return Ok(());
        }
        fs::create_dir_all(to.parent().expect("a file is in a folder"))?;
        return fs::write(to, content);
    }
    fs::create_dir_all(to)?;
    for entry in entries(from)? {
        mirror(&entry, &to.join(entry.file_name().expect("entries have names")))?;
    }
    for entry in entries(to)? {
        if !from.join(entry.file_name().expect("entries have names")).exists() {
            match entry.is_dir() {
                true => fs::remove_dir_all(&entry)?,
                false => fs::remove_file(&entry)?,
            }
        }
    }
    Ok(())
}

/// The entries of a folder by name, without those that npm generated.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let generated =
            GENERATED.iter().any(|folder| name == *folder) || name.to_string_lossy().ends_with(".tgz");
        if !generated {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}
