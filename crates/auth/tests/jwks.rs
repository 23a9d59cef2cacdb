//! Key sets, fetched from a server that counts requests, rotates keys and fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::future::join_all;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::{Value, json};
use switchboard_auth::{JwksOptions, Jwt, KeyError, TokenError};
use switchboard_testkit::TlsProxy;
use tokio::net::TcpListener;

/// A server with a configurable response.
#[derive(Clone, Default)]
struct KeyServer {
    response: Arc<Mutex<(u16, String)>>,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    fn respond(&self, status: u16, body: impl Into<String>) {
        *self.response.lock().unwrap() = (status, body.into());
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let handler = get(async |State(server): State<KeyServer>| {
            server.requests.fetch_add(1, Ordering::Relaxed);
            let (status, body) = server.response.lock().unwrap().clone();
            (StatusCode::from_u16(status).unwrap(), body)
        });
        let routes = axum::Router::new().route("/keys", handler).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url
    }
}

struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    id: &'static str,
}

impl Signer {
    fn p256(id: &'static str) -> Self {
        switchboard_auth::install_crypto_provider();
        let pem = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        Signer { key: EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(), algorithm: Algorithm::ES256, id }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.into());
        serde_json::to_value(jwk).unwrap()
    }

    fn token(&self, user: &str, id: Option<&str>) -> String {
        let header = Header { kid: id.map(Into::into), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, &json!({ "id": user }), &self.key).unwrap()
    }
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// No minimum interval between fetches.
fn immediate() -> JwksOptions {
    JwksOptions { min_interval: Duration::ZERO, ..JwksOptions::default() }
}

#[tokio::test]
async fn concurrent_verifications_fetch_the_key_set_once() {
    let (server, signer) = (KeyServer::default(), Signer::p256("a"));
    server.respond(200, set(&[signer.jwk()]));
    let jwt = Jwt::new().with_jwks(&server.start().await).unwrap();
    let token = signer.token("7", Some("a"));
    let outcomes = join_all((0..50).map(|_| jwt.identify(&token))).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().user == "7"));
    assert_eq!(server.requests(), 1);
    assert!(
        jwt.identify(&signer.token("8", None)).await.is_ok(),
        "a token without a key id may match any key"
    );
}

#[tokio::test]
async fn an_unknown_key_id_fetches_the_key_set_at_most_once_per_interval() {
    let (server, old, new) = (KeyServer::default(), Signer::p256("old"), Signer::p256("new"));
    server.respond(200, set(&[old.jwk()]));
    let url = server.start().await;
    let quick = Jwt::new().with_jwks_options(&url, immediate()).unwrap();
    let slow = Jwt::new().with_jwks(&url).unwrap();
    for jwt in [&quick, &slow] {
        assert!(jwt.identify(&old.token("7", Some("old"))).await.is_ok());
    }
    server.respond(200, set(&[old.jwk(), new.jwk()]));
    assert_eq!(quick.identify(&new.token("8", Some("new"))).await.unwrap().user, "8");
    let requests = server.requests();
    for _ in 0..20 {
        let outcome = slow.identify(&new.token("8", Some("new"))).await;
        assert!(matches!(outcome, Err(TokenError::Signature)));
    }
    assert_eq!(server.requests(), requests, "no fetch within the minimum interval");
}

#[tokio::test]
async fn the_last_good_keys_stay_in_use_when_a_fetch_fails() {
    let (server, signer) = (KeyServer::default(), Signer::p256("a"));
    server.respond(200, set(&[signer.jwk()]));
    let always = JwksOptions { max_age: Duration::ZERO, ..immediate() };
    let jwt = Jwt::new().with_jwks_options(&server.start().await, always).unwrap();
    let token = signer.token("7", Some("a"));
    assert!(jwt.identify(&token).await.is_ok());
    let huge = "x".repeat(2 * 1024 * 1024);
    for (status, body) in [(500, ""), (200, "no JSON"), (200, "{}"), (404, "{\"keys\":[]}"), (200, &huge)] {
        server.respond(status, body);
        assert!(jwt.identify(&token).await.is_ok(), "{status} {:.20}", body);
    }
    server.respond(200, set(&[]));
    assert!(jwt.identify(&token).await.is_err(), "a removed key is not accepted");
}

#[tokio::test]
async fn without_keys_every_token_is_refused_until_a_fetch_succeeds() {
    let (server, signer) = (KeyServer::default(), Signer::p256("a"));
    server.respond(503, "");
    let jwt = Jwt::new().with_jwks_options(&server.start().await, immediate()).unwrap();
    let token = signer.token("7", Some("a"));
    assert!(matches!(jwt.identify(&token).await, Err(TokenError::KeysUnavailable(_))));
    server.respond(200, set(&[signer.jwk()]));
    assert!(jwt.identify(&token).await.is_ok());
}

#[tokio::test]
async fn unsupported_keys_of_a_set_are_skipped() {
    let (server, signer) = (KeyServer::default(), Signer::p256("a"));
    let mut for_encryption = Signer::p256("b").jwk();
    for_encryption["use"] = json!("enc");
    let mut for_signing = Signer::p256("c").jwk();
    for_signing["key_ops"] = json!(["sign"]);
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "s" });
    let unknown = json!({ "kty": "???", "kid": "x" });
    server.respond(200, set(&[secret, unknown, json!(5), for_encryption, for_signing, signer.jwk()]));
    let jwt = Jwt::new().with_jwks(&server.start().await).unwrap();
    assert!(jwt.identify(&signer.token("7", Some("a"))).await.is_ok());
    // A public key set must not provide a shared secret.
    let header = Header { kid: Some("s".into()), ..Header::new(Algorithm::HS256) };
    let forged =
        jsonwebtoken::encode(&header, &json!({ "id": "7" }), &EncodingKey::from_secret(b"secret")).unwrap();
    assert!(matches!(jwt.identify(&forged).await, Err(TokenError::Algorithm)));
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    let ed = Signer {
        key: EncodingKey::from_ed_pem(ed.as_bytes()).unwrap(),
        algorithm: Algorithm::EdDSA,
        id: "a",
    };
    assert!(matches!(jwt.identify(&ed.token("7", Some("a"))).await, Err(TokenError::Signature)));
}

#[test]
fn an_invalid_url_is_refused() {
    for bad in ["", "keys", "ftp://host/keys", "file:///etc/passwd"] {
        assert!(Jwt::new().with_jwks(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_key_set_over_https_needs_a_trusted_certificate() {
    let (server, signer) = (KeyServer::default(), Signer::p256("a"));
    server.respond(200, set(&[signer.jwk()]));
    let plain = server.start().await;
    let address = plain.strip_prefix("http://").unwrap().strip_suffix("/keys").unwrap();
    let proxy = TlsProxy::start("127.0.0.1", address.parse().unwrap()).await;
    let url = format!("https://{}/keys", proxy.address);
    let token = signer.token("7", Some("a"));

    let outcome = Jwt::new().with_jwks(&url).unwrap().identify(&token).await;
    assert!(matches!(outcome, Err(TokenError::KeysUnavailable(_))), "{outcome:?}");
    assert_eq!(server.requests(), 0);

    let options =
        JwksOptions { root_certificates: vec![proxy.certificate.pem().into()], ..JwksOptions::default() };
    let jwt = Jwt::new().with_jwks_options(&url, options).unwrap();
    assert_eq!(jwt.identify(&token).await.unwrap().user, "7");
}

#[test]
fn an_invalid_root_certificate_of_a_key_set_is_an_error() {
    let options = JwksOptions { root_certificates: vec![b"no certificate".into()], ..JwksOptions::default() };
    let outcome = Jwt::new().with_jwks_options("https://login.example/keys", options);
    assert!(matches!(outcome, Err(KeyError::RootCertificate(_))));
}
