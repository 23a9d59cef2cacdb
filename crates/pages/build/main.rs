//! Builds the example pages, so that the binary can serve them: packs the TypeScript SDK, installs it in
//! `examples/pages` as a user would, and bundles.
//!
//! All of it happens to copies in `$OUT_DIR`; `$OUT_DIR/pages.rs` embeds what came of it, for `assets.rs`.
//! Where it cannot be done that says why, and the build goes on. `DEMO_PAGES=off` leaves the pages out.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The inputs, from the repository's root.
const SDK: &str = "sdk/typescript";
const SDK_FILES: &[&str] =
    &["src", "package.json", "package-lock.json", "tsdown.config.ts", "tsconfig.json", "README.md"];
const PAGES: &str = "examples/pages";

/// Made by npm in a folder of pages or of the SDK; not ours to copy.
const MADE: &[&str] = &["node_modules", "dist"];

fn main() {
    println!("cargo:rerun-if-env-changed=DEMO_PAGES");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (missing, rows) = match build(&root, &out.join("work")) {
        Ok(pages) => (None, rows(&pages, "").expect("they were just made")),
        Err(reason) => {
            println!("cargo:warning=without the example pages: {reason}");
            (Some(reason), String::new())
        }
    };
    let source = format!(
        "/// Why there are no pages, if there are none.\npub(crate) const MISSING: Option<&str> = {missing:?};\n\n\
         /// The content of each file, by its path.\npub(crate) static PAGES: &[(&str, &[u8])] = &[\n{rows}];\n"
    );
    fs::write(out.join("pages.rs"), source).expect("OUT_DIR can be written");
}

/// A row of `PAGES` for each file in `folder`, whose paths begin with `prefix`.
fn rows(folder: &Path, prefix: &str) -> io::Result<String> {
    let mut rows = String::new();
    for entry in entries(folder)? {
        let path = format!("{prefix}{}", entry.file_name().expect("entries have names").to_string_lossy());
        match entry.is_dir() {
            true => rows += &self::rows(&entry, &format!("{path}/"))?,
            false => rows += &format!("    ({path:?}, include_bytes!({entry:?})),\n"),
        }
    }
    Ok(rows)
}

/// Builds in `work` and says where the pages are. The error is a sentence for who starts the binary.
fn build(root: &Path, work: &Path) -> Result<PathBuf, String> {
    // A crate from a registry has its own files only.
    if !root.join(PAGES).join("package.json").is_file() {
        return Err("their sources were not there; build from the repository".into());
    }
    for file in SDK_FILES {
        println!("cargo:rerun-if-changed={}", root.join(SDK).join(file).display());
    }
    for entry in entries(&root.join(PAGES)).map_err(told)? {
        println!("cargo:rerun-if-changed={}", entry.display());
    }
    if env::var("DEMO_PAGES").is_ok_and(|value| value == "off") {
        return Err("DEMO_PAGES is off".into());
    }
    find_npm()?;

    let (sdk, pages) = (work.join(SDK), work.join(PAGES));
    let packed = pages.join("node_modules/switchboard-sdk");
    mirror(&root.join(PAGES), &pages).map_err(told)?;
    for file in SDK_FILES {
        if mirror(&root.join(SDK).join(file), &sdk.join(file)).map_err(told)? {
            let _ = fs::remove_dir_all(&packed);
        }
    }
    install(&pages)?;
    if !packed.is_dir() {
        install(&sdk)?;
        npm(&pages, &["run", "sdk"])?;
    }
    npm(&pages, &["run", "build"])?;
    Ok(pages.join("dist"))
}

/// Node brings npm along. Whoever installs it later gets the pages with the next build.
fn find_npm() -> Result<(), String> {
    if Command::new("npm").arg("--version").output().is_ok_and(|answer| answer.status.success()) {
        return Ok(());
    }
    println!("cargo:rerun-if-env-changed=PATH");
    for folder in env::split_paths(&env::var_os("PATH").unwrap_or_default()).filter(|path| path.is_dir()) {
        println!("cargo:rerun-if-changed={}", folder.display());
    }
    Err("npm was not found; install Node 20 or later and build again".into())
}

/// Installs what the lock file names, unless that is there.
fn install(folder: &Path) -> Result<(), String> {
    let lock = fs::read(folder.join("package-lock.json")).map_err(told)?;
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|earlier| earlier == lock) {
        return Ok(());
    }
    npm(folder, &["ci", "--ignore-scripts", "--prefer-offline"])?;
    fs::write(installed, lock).map_err(told)
}

fn npm(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let answer = Command::new("npm")
        .args(arguments)
        .current_dir(folder)
        // Who is offline should not wait for minutes.
        .envs([("npm_config_fetch_retries", "1"), ("npm_config_fetch_retry_mintimeout", "1000")])
        .envs([("npm_config_audit", "false"), ("npm_config_fund", "false")])
        .output()
        .map_err(told)?;
    if answer.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.stderr);
    let why = said
        .lines()
        .filter(|line| line.to_lowercase().contains("error"))
        .take(3)
        .collect::<Vec<_>>()
        .join("; ");
    Err(format!("`npm {}` failed: {why}; to try again, touch {PAGES}/package.json", arguments.join(" ")))
}

/// Makes `to` the same as `from`, and says whether it was not.
fn mirror(from: &Path, to: &Path) -> io::Result<bool> {
    if from.is_file() {
        let content = fs::read(from)?;
        if fs::read(to).is_ok_and(|earlier| earlier == content) {
            return Ok(false);
        }
        fs::create_dir_all(to.parent().expect("a file is in a folder"))?;
        fs::write(to, content)?;
        return Ok(true);
    }
    fs::create_dir_all(to)?;
    let mut changed = false;
    for entry in entries(from)? {
        changed |= mirror(&entry, &to.join(entry.file_name().expect("entries have names")))?;
    }
    for entry in entries(to)? {
        if !from.join(entry.file_name().expect("entries have names")).exists() {
            match entry.is_dir() {
                true => fs::remove_dir_all(&entry)?,
                false => fs::remove_file(&entry)?,
            }
            changed = true;
        }
    }
    Ok(changed)
}

/// What is in a folder, by name, but for what npm has made there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let made = MADE.iter().any(|made| name == *made) || name.to_string_lossy().ends_with(".tgz");
        if !made {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

fn told(error: io::Error) -> String {
    error.to_string()
}
