//! The compiler names the cause of an application's mistake: its errors about `compile_errors/*.rs` are those in the
//! `.stderr` files beside them.
//!
//! `UPDATE_GENERATED=1 cargo nextest run -p switchboard -E 'binary(compile_errors)'` writes the files, for example after
//! a release of the compiler. Read them then as somebody who sees such an error for the first time. The programs are
//! compiled with the library of this build, so a run takes seconds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use switchboard_testkit::Scratch;
use switchboard_testkit::generated::UPDATE;

/// A program that compiles with every complete build of the library.
const PROBE: &str = "fn main() { let _ = switchboard::App::new(); }";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_errors")
}

/// Compiles programs with one build of the library.
struct Compiler {
    dependencies: PathBuf,
    library: PathBuf,
    scratch: Scratch,
}

impl Compiler {
    /// The compiler with the newest build of the library that is complete.
    fn new() -> Self {
        let test = std::env::current_exe().expect("a test is a program");
        let dependencies = test.parent().expect("it is in a folder").to_owned();
        let mut libraries: Vec<(SystemTime, PathBuf)> = fs::read_dir(&dependencies)
            .expect("the folder is readable")
            .map(|entry| entry.expect("the entry is readable").path())
            .filter(|path| is_library(path))
            .map(|path| (path.metadata().and_then(|data| data.modified()).expect("it has a time"), path))
            .collect();
        libraries.sort();
        let scratch = Scratch::new();
        fs::write(scratch.file("probe.rs"), PROBE).expect("the file can be written");
        let mut compiler = Compiler { dependencies, library: PathBuf::new(), scratch };
        while let Some((_, library)) = libraries.pop() {
            compiler.library = library;
            if compiler.errors(Path::new(&compiler.scratch.file("probe.rs"))).is_none() {
                return compiler;
            }
        }
        panic!("no build of the library compiles `{PROBE}`");
    }

    /// The errors about a program; `None` if it compiles.
    fn errors(&self, program: &Path) -> Option<String> {
        let (folder, name) = (program.parent().expect("it is in a folder"), program.file_name());
        let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .current_dir(folder)
            .args(["--edition=2024", "--crate-type=bin", "--emit=metadata", "--color=never", "-Adead_code"])
            .args(["-Aunused_variables", "--diagnostic-width=140", "-L"])
            .arg(format!("dependency={}", self.dependencies.display()))
            .arg("--extern")
            .arg(format!("switchboard={}", self.library.display()))
            .arg("-o")
            .arg(self.scratch.file(&format!("{}.rmeta", name.expect("it has a name").display())))
            .arg(name.expect("it has a name"))
            .output()
            .expect("the compiler runs");
        (!output.status.success()).then(|| readable(&String::from_utf8_lossy(&output.stderr)))
    }
}

fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("libswitchboard-") && name.ends_with(".rlib")
}

/// The errors without places in the library, which move, and without the summary.
fn readable(errors: &str) -> String {
    let is_summary = |line: &str| {
        ["error: aborting", "For more information about", "Some errors have detailed"]
            .iter()
            .any(|beginning| line.starts_with(beginning))
    };
    let mut text = String::new();
    for line in errors.lines().filter(|line| !is_summary(line)) {
        if line.trim_start().starts_with("and ") && line.ends_with(" others") {
            text += "           and others\n"; // their number depends on the features of the build
            continue;
        }
        let (before, place) = line.split_once("--> crates/switchboard/").unwrap_or((line, ""));
        text += before;
        if !place.is_empty() {
            text += "--> $SWITCHBOARD/";
            text += place.split(':').next().unwrap_or(place);
        }
        text += "\n";
    }
    // `Send` has a path if another item of the crates has this name.
    text.trim_end().replace("std::marker::Send", "Send") + "\n"
}

/// The lines without indentation, which depends on the largest line number of the library.
fn unindented(errors: &str) -> String {
    errors.lines().map(|line| line.trim_start().to_owned() + "\n").collect()
}

#[test]
fn the_compiler_names_the_cause_of_a_mistake() {
    let compiler = Compiler::new();
    let (mut count, mut wrong) = (0, String::new());
    for entry in fs::read_dir(folder()).expect("the folder is readable") {
        let program = entry.expect("the entry is readable").path();
        if program.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        count += 1;
        let name = program.file_name().expect("it has a name").display();
        let Some(errors) = compiler.errors(&program) else {
            wrong += &format!("{name} compiles\n");
            continue;
        };
        let expected = program.with_extension("stderr");
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&expected, &errors).expect("the file can be written");
        } else if unindented(&errors) != unindented(&fs::read_to_string(&expected).unwrap_or_default()) {
            wrong += &format!("the errors about {name} differ from {}:\n{errors}\n", expected.display());
        }
    }
    assert!(count > 15, "only {count} programs were found");
    assert!(wrong.is_empty(), "{wrong}");
}
