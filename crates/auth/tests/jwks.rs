//! Keys by address, against a server that counts, changes and fails.

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
use switchboard_auth::{Jwt, Pace, TokenError};
use tokio::net::TcpListener;

/// A server whose answer can be changed.
#[derive(Clone, Default)]
struct Keys {
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Keys {
    fn are(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, body.into());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let answer = get(async |State(keys): State<Keys>| {
            keys.asked.fetch_add(1, Ordering::Relaxed);
            let (status, body) = keys.answer.lock().unwrap().clone();
            (StatusCode::from_u16(status).unwrap(), body)
        });
        let routes = axum::Router::new().route("/keys", answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
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

/// No try waits for another.
const AT_ONCE: Pace = Pace { fresh: Duration::from_secs(600), pause: Duration::ZERO };

#[tokio::test]
async fn many_tokens_at_once_fetch_the_keys_once() {
    let (keys, signer) = (Keys::default(), Signer::p256("a"));
    keys.are(200, set(&[signer.jwk()]));
    let jwt = Jwt::new().with_jwks(&keys.start().await).unwrap();
    let token = signer.token("7", Some("a"));
    let verdicts = join_all((0..50).map(|_| jwt.look_at(&token))).await;
    assert!(verdicts.into_iter().all(|verdict| verdict.unwrap().user == "7"));
    assert_eq!(keys.asked(), 1);
    assert!(jwt.look_at(&signer.token("8", None)).await.is_ok(), "without the key's id any key may fit");
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_but_not_as_often_as_tokens_ask() {
    let (keys, old, new) = (Keys::default(), Signer::p256("old"), Signer::p256("new"));
    keys.are(200, set(&[old.jwk()]));
    let address = keys.start().await;
    let quick = Jwt::new().with_jwks_paced(&address, AT_ONCE).unwrap();
    let slow = Jwt::new().with_jwks(&address).unwrap();
    for jwt in [&quick, &slow] {
        assert!(jwt.look_at(&old.token("7", Some("old"))).await.is_ok());
    }
    keys.are(200, set(&[old.jwk(), new.jwk()]));
    assert_eq!(quick.look_at(&new.token("8", Some("new"))).await.unwrap().user, "8");
    let asked = keys.asked();
    for _ in 0..20 {
        let verdict = slow.look_at(&new.token("8", Some("new"))).await;
        assert!(matches!(verdict, Err(TokenError::Signature)));
    }
    assert_eq!(keys.asked(), asked, "it has asked within the pause");
}

#[tokio::test]
async fn the_last_good_keys_stay_when_fetching_fails() {
    let (keys, signer) = (Keys::default(), Signer::p256("a"));
    keys.are(200, set(&[signer.jwk()]));
    let stale = Pace { fresh: Duration::ZERO, pause: Duration::ZERO };
    let jwt = Jwt::new().with_jwks_paced(&keys.start().await, stale).unwrap();
    let token = signer.token("7", Some("a"));
    assert!(jwt.look_at(&token).await.is_ok());
    let huge = "x".repeat(2 * 1024 * 1024);
    for (status, body) in [(500, ""), (200, "no JSON"), (200, "{}"), (404, "{\"keys\":[]}"), (200, &huge)] {
        keys.are(status, body);
        assert!(jwt.look_at(&token).await.is_ok(), "{status} {:.20}", body);
    }
    keys.are(200, set(&[]));
    assert!(jwt.look_at(&token).await.is_err(), "a key that was taken out counts no more");
}

#[tokio::test]
async fn without_any_keys_nothing_is_accepted_and_it_is_tried_again() {
    let (keys, signer) = (Keys::default(), Signer::p256("a"));
    keys.are(503, "");
    let jwt = Jwt::new().with_jwks_paced(&keys.start().await, AT_ONCE).unwrap();
    let token = signer.token("7", Some("a"));
    assert!(matches!(jwt.look_at(&token).await, Err(TokenError::NoKeys(_))));
    keys.are(200, set(&[signer.jwk()]));
    assert!(jwt.look_at(&token).await.is_ok());
}

#[tokio::test]
async fn keys_that_cannot_be_used_here_are_passed_over() {
    let (keys, signer) = (Keys::default(), Signer::p256("a"));
    let mut for_encryption = Signer::p256("b").jwk();
    for_encryption["use"] = json!("enc");
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "s" });
    let strange = json!({ "kty": "???", "kid": "x" });
    keys.are(200, set(&[secret, strange, json!(5), for_encryption, signer.jwk()]));
    let jwt = Jwt::new().with_jwks(&keys.start().await).unwrap();
    assert!(jwt.look_at(&signer.token("7", Some("a"))).await.is_ok());
    // A public list must not make a shared secret of a key.
    let header = Header { kid: Some("s".into()), ..Header::new(Algorithm::HS256) };
    let forged =
        jsonwebtoken::encode(&header, &json!({ "id": "7" }), &EncodingKey::from_secret(b"secret")).unwrap();
    assert!(matches!(jwt.look_at(&forged).await, Err(TokenError::Algorithm)));
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    let ed = Signer {
        key: EncodingKey::from_ed_pem(ed.as_bytes()).unwrap(),
        algorithm: Algorithm::EdDSA,
        id: "a",
    };
    assert!(matches!(jwt.look_at(&ed.token("7", Some("a"))).await, Err(TokenError::Signature)));
}

#[test]
fn an_address_has_to_be_one() {
    for bad in ["", "keys", "ftp://host/keys", "file:///etc/passwd"] {
        assert!(Jwt::new().with_jwks(bad).is_err(), "{bad}");
    }
}
