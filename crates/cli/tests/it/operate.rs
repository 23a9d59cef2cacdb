//! The commands for operators: the version, completions, man pages, a settings file, and health checks.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use switchboard_testkit::Scratch;

use crate::support::{SWITCHBOARD, Server, read_to, run, upgraded};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_version_has_the_commit_and_its_date_or_says_that_it_is_unknown() {
    let output = text(&run(&["--version"]).stdout);
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| text(&output.stdout).trim().to_owned())
    };
    let in_repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.git").exists();
    let commit =
        git(&["rev-parse", "HEAD"]).filter(|_| in_repository && std::env::var_os("BUILD_COMMIT").is_none());
    let number = env!("CARGO_PKG_VERSION");
    match commit {
        Some(commit) => {
            let (short, date) =
                (&commit[..10], git(&["show", "--no-patch", "--format=%cs", "HEAD"]).unwrap());
            assert_eq!(output, format!("switchboard {number} ({short} {date})\n"));
        }
        None => assert!(output.starts_with(&format!("switchboard {number} (")), "{output}"),
    }
}

#[test]
fn completions_name_every_command_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.status.success(), "{shell}");
        for command in ["serve", "demo", "check", "dispatch", "health", "completions"] {
            assert!(text(&script.stdout).contains(command), "{command} in {shell}");
        }
    }
    let wrong = run(&["completions", "dos"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("possible values: bash"), "{}", text(&wrong.stderr));
}

#[test]
fn bash_completes_commands() {
    let scratch = Scratch::new();
    let script = scratch.file("switchboard.bash");
    fs::write(&script, run(&["completions", "bash"]).stdout).expect("the folder is the test's own");
    let complete = format!(
        "source {script}; COMP_WORDS=(switchboard disc); COMP_CWORD=1; _switchboard switchboard disc switchboard; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["--norc", "-c", &complete]).output().expect("bash runs");
    assert_eq!(text(&output.stdout), "disconnect\n", "{}", text(&output.stderr));
}

#[test]
fn man_pages_exist_for_each_command_and_a_folder_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    let folder = scratch.file("man/man1");
    assert!(run(&["man", &folder]).status.success());
    for (page, contents) in [
        ("switchboard.1", "Exit status"),
        ("switchboard-serve.1", "\\-\\-listen"),
        ("switchboard-token-make.1", "\\-\\-expires\\-in"),
        ("switchboard-config-init.1", "\\-\\-force"),
    ] {
        let page = fs::read_to_string(format!("{folder}/{page}")).expect(page);
        assert!(page.contains(".TH switchboard") && page.contains(contents), "{page}");
    }
    let taken = scratch.file("file");
    fs::write(&taken, "").expect("the folder is the test's own");
    let output = run(&["man", &taken]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&format!("cannot create the folder {taken}")),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_settings_file_is_written_once_and_gives_the_defaults() {
    let scratch = Scratch::new();
    let file = scratch.file("switchboard.toml");
    let written = run(&["config", "init", &file]);
    assert!(
        written.status.success() && text(&written.stderr).contains("switchboard check --config"),
        "{written:?}"
    );
    let printed = run(&["config", "init", "-"]);
    assert_eq!(text(&printed.stdout), fs::read_to_string(&file).expect("it was written"));

    let checked = run(&["check", "--settings-only", "--config", &file]);
    assert_eq!(
        (checked.stdout, text(&checked.stderr)),
        (run(&["check", "--settings-only"]).stdout, String::new())
    );

    fs::write(&file, "listen = \"127.0.0.1:3333\"\n").expect("the folder is the test's own");
    let refused = run(&["config", "init", &file]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(text(&refused.stderr), format!("error: {file} exists; --force overwrites it\n"));
    assert!(fs::read_to_string(&file).expect("it exists").contains("3333"));
    assert!(run(&["config", "init", &file, "--force"]).status.success());
    assert_eq!(fs::read(&file).expect("it exists"), printed.stdout);
    let nowhere = run(&["config", "init", "/no/such/folder/switchboard.toml"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("cannot write /no/such/folder/switchboard.toml"));
}

#[test]
fn a_variable_names_the_settings_file() {
    let scratch = Scratch::new();
    let file = scratch.file("switchboard.toml");
    fs::write(&file, "listen = \"127.0.0.1:3333\"\n").expect("the folder is the test's own");
    let check = |args: &[&str]| {
        let output = Command::new(SWITCHBOARD)
            .args(["check", "--settings-only"])
            .args(args)
            .env("SWITCHBOARD_CONFIG", &file)
            .output();
        text(&output.expect("it runs").stdout)
    };
    assert!(check(&[]).contains("listen = \"127.0.0.1:3333\""));
    assert!(check(&["--config", "/dev/null"]).contains("listen = \"127.0.0.1:3000\""), "a flag overrides it");
}

#[test]
fn health_finds_the_server_of_the_settings_and_prints_its_state() {
    let server = Server::start(&["serve", "--set", "internal.listen=127.0.0.1:0"]);
    let internal = &format!("internal.listen={}", server.health);
    let healthy = ["health", "--set", internal];
    let output = run(&healthy);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "ready\n".into()), "{output:?}");
    let (url, page) = (format!("http://{}", server.health), format!("http://{}/livez", server.health));
    assert_eq!(text(&run(&["health", &url]).stdout), "ready\n");
    assert_eq!(text(&run(&["health", &page]).stdout), "ok\n");

    // A peer that does not answer the close frame delays the end of the process.
    let mut silent = upgraded(&server.address, "/");
    server.signal("-TERM");
    read_to(&mut silent, b"the server restarts");
    let output = run(&healthy);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), format!("error: {url}/readyz answered 503: stopping\n"));
    drop(silent);
    server.ended();
    let output = run(&healthy);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with(&format!("error: cannot reach {url}/readyz\n  because: ")),
        "{output:?}"
    );
}

#[test]
fn health_fails_with_status_1_if_no_answer_comes_or_the_settings_are_invalid() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/readyz", silent.local_addr().expect("an address"));
    let output = run(&["health", &url, "--timeout", "1s"]);
    assert_eq!(text(&output.stderr), format!("error: {url} did not answer within 1 s\n"));
    assert_eq!(output.status.code(), Some(1));
    for (args, expected) in [
        (&["health", "--listen", "127.0.0.1:0"][..], "the server chooses a port"),
        (&["health", "--set", "limits.nonsense=1"], "unknown setting"),
        (&["health", "localhost:3000"], "expected one such as http://127.0.0.1:3001"),
    ] {
        let output = run(args);
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "Docker reserves 2: {args:?}");
    }
}

#[test]
fn health_shows_the_answer_of_a_stranger_on_one_line() {
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", stranger.local_addr().expect("an address"));
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = stranger.accept().expect("a request");
        read_to(&mut stream, b"\r\n\r\n");
        let body = format!("a\nerror: \u{1b}[2J{}", "x".repeat(5000));
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .expect("it reads");
    });
    let output = run(&["health", &url]);
    answering.join().expect("it answered");
    let error = text(&output.stderr);
    assert!(error.contains("answered 404: a<U+000A>error: <U+001B>[2Jxxx") && error.len() < 250, "{error}");
}
