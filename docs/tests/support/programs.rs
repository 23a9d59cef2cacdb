//! The programs in the guides, and the real binary.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use switchboard_testkit::Scratch;

/// The binary, which the workspace's tests build; here it is only built if it is missing.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let binary = test.ancestors().nth(2).expect("tests are in deps").join("switchboard");
    if !binary.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "switchboard-cli"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the binary does not build");
    }
    binary
}

/// The first block of a language in a guide.
fn block(guide: &str, language: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("guides").join(guide);
    let guide = std::fs::read_to_string(guide).expect("the guide exists");
    let rest = guide.split(&format!("```{language}\n")).nth(1).expect("the block exists");
    rest.split("```").next().expect("it has an end").to_owned()
}

/// A running server from a guide. Dropping it ends its process.
pub(crate) struct Program {
    pub(crate) process: Child,
    pub(crate) port: u16,
    _folder: Scratch,
}

impl Program {
    /// Runs the first block of a language, with a free port in the variable `PORT`. `None` if the interpreter is not
    /// installed.
    pub(crate) fn start(
        guide: &str,
        interpreter: &str,
        file: &str,
        language: &str,
        variables: &[(&str, &str)],
    ) -> Option<Self> {
        let folder = Scratch::new();
        let path = folder.file(file);
        std::fs::write(&path, block(guide, language)).expect("the folder is the test's own");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a port is free").port();
        let mut command = Command::new(interpreter);
        let command = command.arg(path).env("PORT", port.to_string()).envs(variables.iter().copied());
        let process = command.stdout(Stdio::piped()).spawn().ok()?;
        let mut program = Program { process, port, _folder: folder };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = program.process.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "{interpreter} ended: {ended:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Some(program)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
