//! Certificates from an authority: against Pebble, the ACME server for tests, which verifies as a real one does.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use switchboard_testkit::redis::free_port;
use switchboard_testkit::{Forwarder, Peer, Scratch, TestCertificate};
use switchboard_tls::rustls::ClientConfig;

use crate::support::{Server, get, run};
use crate::tls::eventually;

/// A Pebble process. Dropping it stops it.
struct Pebble {
    process: Child,
    directory: String,
    /// The certificate of its own address.
    ca_file: String,
    /// The address at which it verifies domains.
    verified: Forwarder,
    scratch: Scratch,
}

impl Pebble {
    async fn start() -> Self {
        let scratch = Scratch::new();
        let (cert, key) = (scratch.file("pebble.pem"), scratch.file("pebble.key"));
        TestCertificate::new(&["localhost"]).write(&cert, &key);
        let verified = Forwarder::start(1).await;
        let (api, management) = (free_port(), free_port());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{api}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": cert,
            "privateKey": key,
            "httpPort": 1,
            "tlsPort": verified.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let file = scratch.file("pebble.json");
        fs::write(&file, config.to_string()).expect("the folder is the test's own");
        let process = Command::new("pebble")
            .args(["-config", &file, "-strict"])
            // Every tenth nonce is refused, as the protocol allows.
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "10")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble is installed, as ./test does");
        let directory = format!("https://localhost:{api}/dir");
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        eventually("Pebble listens", async || !is_free(api) && !is_free(management)).await;
        Pebble { process, directory, ca_file: cert, verified, scratch }
    }

    /// The flags of a server that obtains a certificate for these domains.
    fn flags(&self, domains: &str) -> Vec<String> {
        let sets = [
            format!("tls.acme.domains={domains}"),
            format!("tls.acme.directory={}", self.directory),
            format!("tls.acme.directory_ca_file={}", self.ca_file),
            format!("tls.acme.folder={}", self.scratch.file("acme")),
            "tls.acme.contact=mailto:ops@chat.example".into(),
            "internal.listen=127.0.0.1:0".into(),
            "stop.window_ms=0".into(),
        ];
        sets.into_iter().flat_map(|set| ["--set".into(), set]).collect()
    }

    fn server(&self, domains: &str) -> Server {
        let flags = self.flags(domains);
        let args: Vec<&str> = ["serve"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        let server = Server::start(&args);
        let port = server.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        self.verified.point_to(port);
        server
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client that accepts any certificate: that of Pebble's authority is new at each start.
fn any() -> Arc<ClientConfig> {
    Arc::new(switchboard_tls::unverified_client_config())
}

async fn connects(server: &Server) -> bool {
    let port = server.address.rsplit(':').next().expect("a port");
    Peer::try_connect_tls(&format!("wss://localhost:{port}/"), &any()).await.is_ok()
}

fn readiness(server: &Server) -> String {
    get(&server.health, "/readyz").rsplit("\r\n\r\n").next().expect("a body").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_obtained_and_kept_over_a_restart() {
    let pebble = Pebble::start().await;
    let server = pebble.server("localhost");
    eventually("the certificate is issued", async || readiness(&server) == "ready").await;
    assert!(connects(&server).await);
    let metrics = get(&server.health, "/metrics");
    assert!(
        metrics.contains("switchboard_tls_certificate_not_after_seconds{certificate=\"acme\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("switchboard_tls_reloads_total{outcome=\"applied\"} 1\n"), "{metrics}");
    let folder = pebble.scratch.file("acme");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("it is there").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert_eq!(files.len(), 2, "an account and a certificate: {files:?}");
    for file in &files {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    server.signal("-TERM");
    let (status, log) = server.ended();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("certificate obtained; open connections stay open"), "{log}");

    let stored = fs::read(&files[1]).expect("it is there");
    let again = pebble.server("localhost");
    assert!(connects(&again).await);
    assert_eq!(readiness(&again), "ready");
    assert!(
        !get(&again.health, "/metrics").contains("switchboard_tls_reloads_total{outcome=\"applied\"} 1\n")
    );
    assert_eq!(fs::read(&files[1]).expect("it is there"), stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_leads_elsewhere_is_reported_and_other_certificates_are_served() {
    let pebble = Pebble::start().await;
    let (cert, key) = (pebble.scratch.file("own.pem"), pebble.scratch.file("own.key"));
    let own = TestCertificate::new(&["localhost"]);
    own.write(&cert, &key);
    let pair = format!("tls.certificates=[{{cert = \"{cert}\", key = \"{key}\"}}]");
    let flags = pebble.flags("localhost");
    let args: Vec<&str> =
        ["serve", "--set", &pair].into_iter().chain(flags.iter().map(String::as_str)).collect();
    // The authority reaches nothing at the domain.
    let server = Server::start(&args);
    let failed = "switchboard_tls_certificates_failed 1\n";
    eventually("the failure is reported", async || get(&server.health, "/metrics").contains(failed)).await;
    assert_eq!(readiness(&server), "degraded");
    let port = server.address.rsplit(':').next().expect("a port");
    let peer = Peer::try_connect_tls(&format!("wss://localhost:{port}/"), &own.client()).await;
    peer.expect("the certificate in files is served");
    server.signal("-TERM");
    let (_, log) = server.ended();
    let line = log.lines().find(|line| line.contains("certificate not obtained; trying again later"));
    assert!(line.is_some_and(|line| line.contains("the authority cannot verify localhost")), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_not_trusted_gets_nothing() {
    let pebble = Pebble::start().await;
    let other = pebble.scratch.file("other.pem");
    TestCertificate::new(&["localhost"]).write(&other, &pebble.scratch.file("other.key"));
    let mut flags = pebble.flags("localhost");
    flags.extend(["--set".into(), format!("tls.acme.directory_ca_file={other}")]);
    let args: Vec<&str> = ["serve"].into_iter().chain(flags.iter().map(String::as_str)).collect();
    let server = Server::start(&args);
    let failed = "switchboard_tls_certificates_failed 1\n";
    eventually("the failure is reported", async || get(&server.health, "/metrics").contains(failed)).await;
    assert!(!connects(&server).await, "there is no certificate");
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains("did not issue a certificate") && log.contains("invalid peer certificate"), "{log}");
}

#[test]
fn check_refuses_a_folder_and_roots_that_cannot_be_used() {
    for (set, words) in [
        ("tls.acme.folder=/no/such/folder/acme", "tls.acme.folder is `/no/such/folder/acme`"),
        ("tls.acme.folder=Cargo.toml", "expected a folder, found a file"),
        ("tls.acme.directory_ca_file=/no/such/file", "tls.acme.directory_ca_file is `/no/such/file`"),
        ("tls.acme.directory_ca_file=Cargo.toml", "expected certificates in PEM"),
    ] {
        let sets = ["--set", "tls.acme.domains=chat.example", "--set", set];
        let [check, serve] = ["check", "serve"]
            .map(|command| run(&[&[command, "--listen", "127.0.0.1:0"][..], &sets].concat()));
        assert_eq!((check.status.code(), &check.stderr), (Some(2), &serve.stderr), "{set}");
        let error = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(error.contains(words), "{error}");
    }
}
