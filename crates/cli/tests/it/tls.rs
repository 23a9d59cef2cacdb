//! TLS of the packaged server: its listeners, certificates that are renewed while clients are connected, and files that
//! cannot be used.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use switchboard_testkit::tls::trusting;
use switchboard_testkit::{Peer, Scratch, TestCertificate};
use switchboard_tls::rustls::ClientConfig;

use crate::support::{Server, get, run};

/// A server with certificates in files.
struct SecureServer {
    server: Server,
    cert: String,
    key: String,
    _scratch: Scratch,
}

/// Waits for a change that the server makes by itself some seconds later.
pub(crate) async fn eventually(event: &str, mut condition: impl AsyncFnMut() -> bool) {
    let reached = tokio::time::timeout(Duration::from_secs(100), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("{event}: not within 100 s"));
}

/// The flag of a certificate.
fn certificate_flag(cert: &str, key: &str) -> String {
    format!("tls.certificates=[{{cert = \"{cert}\", key = \"{key}\"}}]")
}

impl SecureServer {
    fn start(first: &TestCertificate, sets: &[&str]) -> Self {
        let scratch = Scratch::new();
        let (cert, key) = (scratch.file("cert.pem"), scratch.file("key.pem"));
        first.write(&cert, &key);
        let tls = certificate_flag(&cert, &key);
        let sets =
            ["internal.listen=127.0.0.1:0", "stop.window_ms=0", &tls].into_iter().chain(sets.iter().copied());
        let args: Vec<&str> = ["serve"].into_iter().chain(sets.flat_map(|set| ["--set", set])).collect();
        SecureServer { server: Server::start(&args), cert, key, _scratch: scratch }
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> Result<Peer, String> {
        Peer::try_connect_tls(&format!("wss://{}/", self.server.address), config).await
    }

    /// Waits until new clients get this certificate.
    async fn until_served(&self, certificate: &TestCertificate) {
        let config = certificate.client();
        eventually("the certificate is served", async || self.connect(&config).await.is_ok()).await;
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let metrics = get(&self.server.health, "/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }

    fn readiness(&self) -> String {
        let answer = get(&self.server.health, "/readyz");
        answer.rsplit("\r\n\r\n").next().expect("a body").trim().to_owned()
    }

    fn log(self) -> String {
        self.server.signal("-TERM");
        let (status, log) = self.server.ended();
        assert_eq!(status, Some(0), "{log}");
        log
    }
}

fn localhost() -> TestCertificate {
    TestCertificate::new(&["localhost", "127.0.0.1"])
}

async fn renew_ten_times_under(connections: usize) {
    let mut current = localhost();
    // The peers do not read between their connect and their request, so they answer no ping.
    let server = SecureServer::start(&current, &["limits.heartbeat_interval_ms=0"]);
    let mut peers = Vec::new();
    for _ in 0..connections {
        peers.push(server.connect(&current.client()).await.expect("the server accepts"));
    }
    for _ in 0..10 {
        let next = localhost();
        // The key first, so that both do not belong together for a moment.
        fs::write(&server.key, &next.key).expect("the folder is the test's own");
        fs::write(&server.cert, &next.cert).expect("the folder is the test's own");
        server.until_served(&next).await;
        assert!(
            server.connect(&current.client()).await.is_err(),
            "the old certificate is not served any more"
        );
        current = next;
    }
    for peer in &mut peers {
        assert_eq!(peer.request("/join", json!({ "room": "a" })).await["joined"], "a");
    }
    assert_eq!(server.metric("switchboard_tls_reloads_total{outcome=\"applied\"}"), Some(10.0));
    assert_eq!(server.readiness(), "ready");
    drop(peers);
    let log = server.log();
    assert_eq!(log.matches("certificate replaced; open connections stay open").count(), 10, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_ten_times_under_open_sockets_and_none_is_closed() {
    renew_ten_times_under(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: 5,000 connections"]
async fn certificates_are_renewed_ten_times_under_5000_open_sockets_and_none_is_closed() {
    renew_ten_times_under(5000).await;
}

/// As certbot and Kubernetes replace certificates: a link is replaced by one to other files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_to_new_files_are_noticed_and_sighup_reads_files_at_once() {
    let scratch = Scratch::new();
    let certificates = [localhost(), localhost(), localhost()];
    for (number, certificate) in certificates.iter().enumerate() {
        let folder = scratch.file(&number.to_string());
        fs::create_dir(&folder).expect("the folder is the test's own");
        certificate.write(&format!("{folder}/cert.pem"), &format!("{folder}/key.pem"));
    }
    let data = scratch.file("data");
    let point_to = |number: usize| {
        let new = scratch.file("new");
        symlink(scratch.file(&number.to_string()), &new).expect("the folder is the test's own");
        fs::rename(new, &data).expect("the folder is the test's own");
    };
    point_to(0);
    let tls = certificate_flag(&format!("{data}/cert.pem"), &format!("{data}/key.pem"));
    let server = Server::start(&["serve", "--set", &tls, "--set", "internal.listen=127.0.0.1:0"]);
    let connects = async |certificate: &TestCertificate| {
        Peer::try_connect_tls(&format!("wss://{}/", server.address), &certificate.client()).await.is_ok()
    };
    assert!(connects(&certificates[0]).await);
    point_to(1);
    eventually("the new certificate is served", async || connects(&certificates[1]).await).await;
    point_to(2);
    server.signal("-HUP");
    eventually("the new certificate is served", async || connects(&certificates[2]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_used_keep_the_certificate_and_are_reported() {
    let first = localhost();
    let server = SecureServer::start(&first, &[]);
    let mut steady = server.connect(&first.client()).await.expect("the server accepts");
    assert_eq!(server.readiness(), "ready");
    assert_eq!(server.metric("switchboard_tls_certificates_failed"), Some(0.0));
    let failures =
        || server.metric("switchboard_tls_reloads_total{outcome=\"failed\"}").expect("it is counted");
    for (round, bad_key) in [Some(localhost().key), Some("no key".to_owned()), None].into_iter().enumerate() {
        match &bad_key {
            Some(key) => fs::write(&server.key, key).expect("the folder is the test's own"),
            None => fs::remove_file(&server.key).expect("it is there"),
        }
        eventually("the failure is reported", async || server.readiness() == "degraded").await;
        assert_eq!(server.metric("switchboard_tls_certificates_failed"), Some(1.0));
        assert_eq!(failures(), round as f64 + 1.0);
        server.connect(&first.client()).await.expect("the previous certificate is served").close().await;
        fs::write(&server.key, &first.key).expect("the folder is the test's own");
        eventually("the failure is over", async || server.readiness() == "ready").await;
    }
    assert_eq!(steady.request("/join", json!({ "room": "a" })).await["joined"], "a");
    let key = server.key.clone();
    let log = server.log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("the previous one stays in use")).collect();
    let named = ["does not belong to the certificate", "contains no private key", "cannot be read"];
    assert_eq!(lines.len(), 3, "{log}");
    for (line, named) in lines.into_iter().zip(named) {
        assert!(line.contains(named) && line.contains(&key), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_reload_by_sighup_keeps_certificates_and_settings() {
    let (first, next) = (localhost(), localhost());
    let server = SecureServer::start(&first, &[]);
    fs::write(&server.key, &next.key).expect("the folder is the test's own");
    server.server.signal("-HUP");
    let failed = "switchboard_settings_reloads_total{outcome=\"failed\"}";
    eventually("the reload has failed", async || server.metric(failed) == Some(1.0)).await;
    server.connect(&first.client()).await.expect("the previous certificate is served");
    fs::write(&server.cert, &next.cert).expect("the folder is the test's own");
    server.server.signal("-HUP");
    server.until_served(&next).await;
    let log = server.log();
    assert!(
        log.contains("settings not reloaded") && log.contains("does not belong to the certificate"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_uses_tls_if_the_settings_say_so() {
    let certificate = localhost();
    let sets = [
        "tls.listeners=[\"clients\", \"mesa\", \"api\", \"internal\"]",
        "mesa.enabled=true",
        "mesa.listen=127.0.0.1:0",
        "api.keys=a key of this test, long enough",
        "api.listen=127.0.0.1:0",
    ];
    let server = SecureServer::start(&certificate, &sets);
    let banner = &server.server.banner;
    let address = |mark: &str| {
        let after = banner.split(mark).nth(1).unwrap_or_else(|| panic!("{mark} is in {banner}"));
        after.split('/').next().expect("an address").to_owned()
    };
    let mesa = address("/mesa, wss://");
    Peer::try_connect_tls(&format!("wss://{mesa}/"), &certificate.client()).await.expect("Mesa is encrypted");
    for plain in [&mesa, &address("  api      https://"), &address("  health   https://")] {
        let answer = get(plain, "/");
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("this port is encrypted"), "{answer}");
    }
    let health = format!("internal.listen={}", address("  health   https://"));
    let tls = certificate_flag(&server.cert, &server.key);
    let asked = run(&["health", "--set", &health, "--set", &tls, "--set", sets[0]]);
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "ready\n", "{asked:?}");
}

#[test]
fn the_emit_command_trusts_a_root_certificate_and_shows_no_token() {
    let server = SecureServer::start(&localhost(), &[]);
    let url = format!("wss://{}/?token=a-secret", server.server.address);
    let emit = |more: &[&str]| run(&[&["emit", &url, "/ping", "--request"], more].concat());
    assert!(emit(&["--root-certificate", &server.cert]).stdout.starts_with(b"{\"pong\":"));
    for refused in [emit(&[]), emit(&["--root-certificate", &server.key])] {
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && error.contains("certificate"), "{error}");
        assert!(error.contains(&format!("wss://{}/", server.server.address)), "{error}");
        assert!(!error.contains("a-secret"), "{error}");
    }
}

#[test]
fn the_certificate_of_an_authority_is_refused_with_the_way_to_make_another() {
    let server = SecureServer::start(&TestCertificate::of_authority(&["127.0.0.1"]), &[]);
    let url = format!("wss://{}/", server.server.address);
    let refused = run(&["emit", &url, "/ping", "--root-certificate", &server.cert]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("the server's certificate is that of a certificate authority"), "{error}");
    assert!(error.contains("-addext basicConstraints=critical,CA:FALSE"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_redirected_if_the_settings_say_so() {
    let server = SecureServer::start(&localhost(), &["tls.redirect_listen=127.0.0.1:0"]);
    let banner = &server.server.banner;
    let (before, _) = banner.split_once("/ redirects to the encrypted address").expect("the banner names it");
    let redirect = before.rsplit("http://").next().expect("an address");
    let port = server.server.address.rsplit(':').next().expect("a port");
    let answer = get(redirect, "/a?b=c");
    let location = format!("location: https://localhost:{port}/a?b=c\r\n");
    assert!(answer.starts_with("HTTP/1.1 308 ") && answer.contains(&location), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_the_settings_adds_a_certificate() {
    let (one, two) = (TestCertificate::new(&["127.0.0.1"]), TestCertificate::new(&["two.test"]));
    let scratch = Scratch::new();
    let file = |name: &str| scratch.file(name);
    one.write(&file("1.pem"), &file("1.key"));
    two.write(&file("2.pem"), &file("2.key"));
    let entry = |n: u8| {
        format!("{{ cert = \"{}\", key = \"{}\" }}", file(&format!("{n}.pem")), file(&format!("{n}.key")))
    };
    let settings = file("settings.toml");
    fs::write(&settings, format!("tls.certificates = [{}]\n", entry(1)))
        .expect("the folder is the test's own");
    let server = Server::start(&["serve", "--config", &settings, "--set", "internal.listen=127.0.0.1:0"]);
    let connects = async |order: &[&TestCertificate]| {
        Peer::try_connect_tls(&format!("wss://{}/", server.address), &trusting(order)).await.is_ok()
    };
    assert!(connects(&[&one]).await);
    let both = format!("tls.certificates = [{}, {}]\n", entry(1), entry(2));
    fs::write(&settings, both).expect("the folder is the test's own");
    server.signal("-HUP");
    let series = "switchboard_tls_certificate_not_after_seconds{certificate=\"";
    eventually("both are in use", async || get(&server.health, "/metrics").matches(series).count() == 2)
        .await;
    assert!(connects(&[&one]).await);
}

#[test]
fn check_and_serve_refuse_certificates_that_cannot_be_used_and_warn_of_expired_ones() {
    let scratch = Scratch::new();
    let [cert, key, other] = ["cert.pem", "key.pem", "other.pem"].map(|name| scratch.file(name));
    let expired = TestCertificate::valid_until(&["localhost"], SystemTime::now() - Duration::from_secs(3600));
    expired.write(&cert, &key);
    localhost().write(&scratch.file("unused"), &other);
    for (key, words) in
        [(&*other, "does not belong to the certificate"), ("/no/such/key", "/no/such/key cannot be read")]
    {
        let set = certificate_flag(&cert, key);
        let [check, serve] =
            ["check", "serve"].map(|command| run(&[command, "--listen", "127.0.0.1:0", "--set", &set]));
        assert_eq!((check.status.code(), &check.stderr), (Some(2), &serve.stderr));
        let error = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(
            error.contains("tls.certificates") && error.contains(words) && error.contains("hint: "),
            "{error}"
        );
    }
    let set = certificate_flag(&cert, &key);
    let check = run(&["check", "--listen", "127.0.0.1:0", "--set", &set]);
    let warning = format!("warning: clients refuse the certificate {cert}, because it is expired\n");
    assert_eq!(
        (check.status.code(), String::from_utf8_lossy(&check.stderr).into_owned()),
        (Some(0), warning)
    );
    let server = Server::start(&["serve", "--set", &set, "--set", "internal.listen=127.0.0.1:0"]);
    assert!(get(&server.health, "/readyz").ends_with("degraded\n"));
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains("clients refuse the certificate") && log.contains("expired"), "{log}");
}

#[test]
fn settings_without_a_certificate_are_reported_as_without_effect() {
    let check = run(&["check", "--settings-only", "--set", "tls.redirect_listen=127.0.0.1:80"]);
    let error = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(
        error.contains("tls.redirect_listen")
            && error.contains("it has no effect, because tls.certificates and tls.acme.domains are not set"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_accepts_only_clients_with_a_certificate_of_the_listed_authorities() {
    let (certificate, backend, stranger) = (localhost(), localhost(), localhost());
    let scratch = Scratch::new();
    let roots = scratch.file("backends.pem");
    fs::write(&roots, &backend.cert).expect("the folder is the test's own");
    let client_roots = format!("api.client_ca_file={roots}");
    let sets = [
        "tls.listeners=[\"clients\", \"api\"]",
        "api.keys=a key of this test, long enough",
        "api.listen=127.0.0.1:0",
        &client_roots,
    ];
    let server = SecureServer::start(&certificate, &sets);
    let after = server.server.banner.split("  api      https://").nth(1).expect("the banner names it");
    let api = after.split('/').next().expect("an address").to_owned();
    let status = async |own: Option<&TestCertificate>| status(&api, &certificate, own).await;
    // Without a key the API answers 401, so the handshake has succeeded.
    assert_eq!(status(Some(&backend)).await, Some(401));
    assert_eq!(status(Some(&stranger)).await, None);
    assert_eq!(status(None).await, None);
    server.connect(&certificate.client()).await.expect("clients need no certificate").close().await;

    fs::write(&roots, &stranger.cert).expect("the folder is the test's own");
    eventually("the new authorities are in use", async || status(Some(&stranger)).await == Some(401)).await;
    assert_eq!(status(Some(&backend)).await, None);
    fs::write(&roots, "nothing").expect("the folder is the test's own");
    eventually("the failure is reported", async || server.readiness() == "degraded").await;
    assert_eq!(status(Some(&stranger)).await, Some(401), "the previous authorities stay in use");
    let log = server.log();
    assert!(log.contains(&roots) && log.contains("the root certificate is not valid"), "{log}");
}

#[test]
fn commands_trust_a_root_certificate_and_show_one_of_their_own_to_the_api() {
    let (certificate, backend, stranger) = (localhost(), localhost(), localhost());
    let scratch = Scratch::new();
    let [own, own_key, other, other_key] =
        ["own", "own-key", "other", "other-key"].map(|name| scratch.file(name));
    backend.write(&own, &own_key);
    stranger.write(&other, &other_key);
    let client_roots = format!("api.client_ca_file={own}");
    let sets = [
        "tls.listeners=[\"clients\", \"api\", \"internal\"]",
        "api.keys=a key of this test, long enough",
        "api.listen=127.0.0.1:0",
        &client_roots,
    ];
    let server = SecureServer::start(&certificate, &sets);
    let address = |name: &str| {
        let after = server.server.banner.split(name).nth(1).expect("the banner names it");
        format!("https://{}", after.split(['/', ' ']).next().expect("an address"))
    };
    let api = address("  api      https://");
    let call = |command: &[&str], more: &[&str]| {
        let how = ["--url", &api, "--key", "a key of this test, long enough"];
        run(&[command, &how, more].concat())
    };
    let trusted = ["--root-certificate", &*server.cert];
    let shown = [&trusted[..], &["--client-certificate", &own, "--client-key", &own_key]].concat();
    for command in [&["info"][..], &["rooms"], &["revoke", "--user", "7"], &["drain", "--cancel"]] {
        let done = call(command, &shown);
        assert!(done.status.success(), "{command:?}: {done:?}");
    }
    let sent = call(&["dispatch", "NEWS", "--everyone"], &shown);
    assert!(sent.status.success(), "{sent:?}");

    let strange = [&trusted[..], &["--client-certificate", &other, "--client-key", &other_key]].concat();
    let no_key = [&trusted[..], &["--client-certificate", &own, "--client-key", &own]].concat();
    let mixed = [&trusted[..], &["--client-certificate", &own, "--client-key", &other_key]].concat();
    for (more, status, words) in [
        (&[][..], 1, "hint: --root-certificate trusts the authority of the server's certificate"),
        (&trusted, 1, "hint: the server asks for a certificate: --client-certificate and --client-key"),
        (&strange, 1, "cannot reach https://"),
        (&no_key, 2, "contains no private key"),
        (&mixed, 2, "the private key does not belong to the certificate"),
        (&["--root-certificate", "/no/such/file"], 2, "cannot read /no/such/file"),
        (&["--root-certificate", &own_key], 2, "the file contains no certificate"),
        (&["--client-certificate", &own], 2, "--client-key <FILE>"),
    ] {
        let refused = call(&["info"], more);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(status), "{more:?}: {error}");
        assert!(error.contains(words), "{more:?}: {error}");
    }
    let health = address("  health   https://").replace("https://", "");
    let ready = run(&["health", &format!("https://{health}/readyz"), "--root-certificate", &server.cert]);
    assert_eq!(String::from_utf8_lossy(&ready.stdout), "ready\n", "{ready:?}");
}

/// The status of a request without a key to the API; `None` if the TLS handshake fails.
async fn status(api: &str, trusted: &TestCertificate, own: Option<&TestCertificate>) -> Option<u16> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let config = match own {
        Some(own) => own.client_of(trusted),
        None => trusted.client(),
    };
    let tcp = tokio::net::TcpStream::connect(api).await.expect("the API listens");
    let connector = tokio_rustls::TlsConnector::from(config);
    let mut stream = connector.connect("localhost".try_into().expect("a name"), tcp).await.ok()?;
    let request =
        "POST /api/v1/dispatch HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    // With TLS 1.3 the refusal of a certificate arrives after the handshake.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

#[test]
fn certificate_authorities_of_backends_that_cannot_be_used_are_refused() {
    let scratch = Scratch::new();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| scratch.file(name));
    localhost().write(&cert, &key);
    let pair = certificate_flag(&cert, &key);
    let key_of_api = "api.keys=a key of this test, long enough";
    let roots = |path: &str| format!("api.client_ca_file={path}");
    let with_api = "tls.listeners=[\"api\"]";
    for (sets, words) in [
        (&[&*roots(&cert)][..], "the API does not use TLS, which it needs"),
        (&[&*pair, &*roots(&cert)], "add `api` to tls.listeners"),
        (&[&*pair, with_api, &*roots("/no/such/file")], "expected a readable file: No such file"),
        (
            &[&*pair, with_api, &*roots(&key)],
            "expected certificates in PEM: the file contains no certificate",
        ),
    ] {
        let sets: Vec<&str> =
            sets.iter().copied().chain([key_of_api]).flat_map(|set| ["--set", set]).collect();
        let [check, serve] = ["check", "serve"]
            .map(|command| run(&[&[command, "--listen", "127.0.0.1:0"][..], &sets].concat()));
        assert_eq!((check.status.code(), &check.stderr), (Some(2), &serve.stderr), "{sets:?}");
        let error = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(error.starts_with("error: api.client_ca_file") && error.contains(words), "{error}");
    }
}
