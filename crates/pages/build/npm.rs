//! Calls of npm.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Returns an error unless npm can be run. If it is installed later, the next build runs this script again.
pub(crate) fn find() -> Result<(), String> {
    if Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    println!("cargo:rerun-if-env-changed=PATH");
    for folder in env::split_paths(&env::var_os("PATH").unwrap_or_default()).filter(|path| path.is_dir()) {
        println!("cargo:rerun-if-changed={}", folder.display());
    }
    Err("npm was not found; install Node 20 or later and build again".into())
}

/// Installs the packages of the lock file that the bundle needs, unless they are installed already.
pub(crate) fn install(folder: &Path) -> Result<(), String> {
    let lock = fs::read(folder.join("package-lock.json")).map_err(|error| error.to_string())?;
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|earlier| earlier == lock) {
        return Ok(());
    }
    announce("Installing npm packages for the example pages (DEMO_PAGES=off leaves the pages out)");
    run(folder, &["ci", "--omit=dev", "--ignore-scripts", "--prefer-offline"])?;
    fs::write(installed, lock).map_err(|error| error.to_string())
}

/// Runs npm in `folder`. The error has up to three lines of npm's own errors.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("npm")
        .args(arguments)
        .current_dir(folder)
        // Without a network, fail in seconds instead of minutes.
        .envs([("npm_config_fetch_retries", "1"), ("npm_config_fetch_retry_mintimeout", "1000")])
        .envs([("npm_config_audit", "false"), ("npm_config_fund", "false")])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> =
        text.lines().filter(|line| line.to_lowercase().contains("error")).take(3).collect();
    let (command, errors) = (arguments.join(" "), errors.join("; "));
    Err(format!("`npm {command}` failed: {errors}; to try again, touch examples/pages/package.json"))
}

/// Prints a line on the terminal, if there is one. Cargo shows the output of a build script only if it fails.
fn announce(line: &str) {
    if let Ok(mut terminal) = OpenOptions::new().write(true).open("/dev/tty") {
        // Clears the progress bar of cargo, which draws it again below.
        let _ = write!(terminal, "\r\x1b[K   {line}\n");
    }
}
