//! Bundles the example pages with npm and writes `$OUT_DIR/files.rs`, which embeds them, the demo and the console.
//!
//! npm runs on copies in `$OUT_DIR`, so the checkout may be read-only. If the pages cannot be bundled, `files.rs`
//! gives the reason and the build succeeds. `DEMO_PAGES=off` leaves the example pages out.

mod copies;
mod npm;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use copies::{entries, mirror};

const DEMO: &str = "demo";
const CONSOLE: &str = "console";

/// Inputs of the example pages, from the repository's root.
const PAGES: &str = "examples/pages";
const SDK: &str = "sdk/typescript";
const SDK_FILES: &[&str] = &["src", "package.json", "tsconfig.json"];

fn main() {
    println!("cargo:rerun-if-env-changed=DEMO_PAGES");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed={DEMO}");
    println!("cargo:rerun-if-changed={CONSOLE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rows = rows(&here.join(DEMO), "").expect("the demo is part of this crate");
    let missing = match bundle(&here.join("../.."), &out.join("work")) {
        Ok(pages) => {
            rows += &self::rows(&pages, "").expect("npm has just written the pages");
            None
        }
        Err(reason) => {
            println!("cargo:warning=without the example pages: {reason}");
            Some(reason)
        }
    };
    let console = self::rows(&here.join(CONSOLE), "").expect("the console is part of this crate");
    let source = format!(
        "/// Why the example pages are missing.\nconst MISSING: Option<&str> = {missing:?};\n\n\
         /// The content of each file by its path.\nstatic FILES: &[(&str, &[u8])] = &[\n{rows}];\n\n\
         /// The same for the console.\nstatic CONSOLE: &[(&str, &[u8])] = &[\n{console}];\n"
    );
    fs::write(out.join("files.rs"), source).expect("OUT_DIR is writable");
}

/// One row of `FILES` for each file below `folder`. `prefix` is the path of the folder.
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

/// Bundles the example pages in `work` and returns their folder. The error is a sentence for the user of the binary.
fn bundle(root: &Path, work: &Path) -> Result<PathBuf, String> {
    // A crate from a registry does not contain the repository.
    if !root.join(PAGES).join("package.json").is_file() {
        return Err("their sources were not there; build from the repository".into());
    }
    for file in SDK_FILES {
        println!("cargo:rerun-if-changed={}", root.join(SDK).join(file).display());
    }
    for entry in entries(&root.join(PAGES)).map_err(|error| error.to_string())? {
        println!("cargo:rerun-if-changed={}", entry.display());
    }
    if env::var("DEMO_PAGES").is_ok_and(|value| value == "off") {
        return Err("DEMO_PAGES is off".into());
    }
    npm::find()?;

    let pages = work.join(PAGES);
    copy_inputs(root, work).map_err(|error| error.to_string())?;
    npm::install(&pages)?;
    npm::run(&pages, &["run", "build"])?;
    Ok(pages.join("dist"))
}

fn copy_inputs(root: &Path, work: &Path) -> io::Result<()> {
    mirror(&root.join(PAGES), &work.join(PAGES))?;
    for file in SDK_FILES {
        mirror(&root.join(SDK).join(file), &work.join(SDK).join(file))?;
    }
    Ok(())
}
