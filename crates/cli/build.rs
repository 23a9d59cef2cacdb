//! Records what `switchboard --version` prints: the commit and its date, and the compiler.
//!
//! `BUILD_COMMIT` and `BUILD_DATE` in the environment replace what Git says, for builds without a checkout, such as in an
//! image. With neither, the commit is `unknown`. Only this crate is compiled again after a commit.

use std::path::{Path, PathBuf};
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let git = Git::of_workspace();
    if let Some(git) = &git {
        git.watch();
    }
    let commit = from_environment("BUILD_COMMIT")
        .or_else(|| git.as_ref()?.output(&["rev-parse", "--short=10", "HEAD"]))
        .unwrap_or_else(|| UNKNOWN.into());
    let date = from_environment("BUILD_DATE")
        .or_else(|| git.as_ref()?.output(&["show", "--no-patch", "--format=%cs", "HEAD"]))
        .unwrap_or_else(|| UNKNOWN.into());
    let number = env("CARGO_PKG_VERSION");
    let line = match (&*commit, &*date) {
        (UNKNOWN, _) => format!("{number} (commit unknown)"),
        (commit, UNKNOWN) => format!("{number} ({commit})"),
        (commit, date) => format!("{number} ({commit} {date})"),
    };
    // Without the prefix of settings: cargo also sets them for tests and for `cargo run`.
    println!("cargo:rustc-env=BUILT_COMMIT={commit}");
    println!("cargo:rustc-env=BUILT_DATE={date}");
    println!("cargo:rustc-env=BUILT_VERSION={line}");
    println!("cargo:rustc-env=BUILT_RUSTC={}", compiler());
}

fn env(name: &str) -> String {
    std::env::var(name).expect("cargo sets it")
}

fn from_environment(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    let value = std::env::var(name).ok()?.trim().to_owned();
    (!value.is_empty()).then_some(value)
}

/// The version of the compiler, such as `1.95.0`.
fn compiler() -> String {
    let output = Command::new(env("RUSTC")).arg("--version").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    text.split_whitespace().nth(1).unwrap_or(UNKNOWN).to_owned()
}

/// The Git checkout that this workspace is the root of.
struct Git(PathBuf);

impl Git {
    /// `None` without Git, or if a folder above the workspace belongs to another repository.
    fn of_workspace() -> Option<Self> {
        let root = Path::new(&env("CARGO_MANIFEST_DIR")).join("../..").canonicalize().ok()?;
        let git = Git(root);
        let top = Path::new(&git.output(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
        (top == git.0).then_some(git)
    }

    fn output(&self, args: &[&str]) -> Option<String> {
        let mut command = Command::new("git");
        // Set while a hook of another repository runs.
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        let output = command.arg("-C").arg(&self.0).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    }

    /// Has cargo run this script again when HEAD names another commit.
    fn watch(&self) {
        let branch = self.output(&["symbolic-ref", "--quiet", "HEAD"]);
        let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned);
        for name in names.into_iter().chain(branch) {
            let path = self.output(&["rev-parse", "--git-path", &name]).map(|path| self.0.join(path));
            // A file that does not exist would count as changed each time.
            if let Some(path) = path.filter(|path| path.exists()) {
                println!("cargo:rerun-if-changed={}", path.display());
            }
        }
    }
}
