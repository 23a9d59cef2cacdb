//! Verification of valid and invalid tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use serde_json::{Map, Value, json};
use switchboard_auth::{Jwt, TokenError, sign};

const SECRET: &str = "a secret of the tests";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn token(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    switchboard_auth::install_crypto_provider();
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

fn by_secret(claims: &Value) -> String {
    token(Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

async fn user(jwt: &Jwt, token: &str) -> Result<String, TokenError> {
    jwt.identify(token).await.map(|identity| identity.user.to_string())
}

fn jwt() -> Jwt {
    Jwt::new().with_secret(SECRET)
}

#[tokio::test]
async fn the_first_usable_claim_is_the_user() {
    for (claims, expected) in [
        (json!({ "id": "7" }), "7"),
        (json!({ "sub": "7", "userId": "8" }), "7"),
        (json!({ "userId": "8" }), "8"),
        (json!({ "id": 7 }), "7"),
        (json!({ "id": 7.0 }), "7"),
        (json!({ "id": 12_345_678_901_u64 }), "12345678901"),
        (json!({ "id": "", "sub": "s" }), "s"),
        (json!({ "id": { "x": 1 }, "sub": "s" }), "s"),
    ] {
        assert_eq!(user(&jwt(), &by_secret(&claims)).await.unwrap(), expected, "{claims}");
    }
    for no_user in [json!({}), json!({ "id": "" }), json!({ "id": null, "name": "x" })] {
        assert!(matches!(user(&jwt(), &by_secret(&no_user)).await, Err(TokenError::NoUser)), "{no_user}");
    }
    let long = json!({ "id": "x".repeat(257) });
    assert!(matches!(user(&jwt(), &by_secret(&long)).await, Err(TokenError::User(_))));
    let own = jwt().with_user_claims(["email"]);
    assert_eq!(user(&own, &by_secret(&json!({ "id": "7", "email": "a@b" }))).await.unwrap(), "a@b");
}

#[tokio::test]
async fn expiry_and_start_times_are_checked_if_present() {
    let at = |claim: &str, time: Value| by_secret(&json!({ "id": "7", claim: time }));
    let end = jwt().identify(&at("exp", json!(now() + 60))).await.unwrap().expires.unwrap();
    assert_eq!(end, UNIX_EPOCH + Duration::from_secs(now() + 60));
    assert!(matches!(user(&jwt(), &at("exp", json!(now() - 1))).await, Err(TokenError::Expired)));
    assert!(matches!(user(&jwt(), &at("exp", json!(now()))).await, Err(TokenError::Expired)));
    assert!(matches!(user(&jwt(), &at("nbf", json!(now() + 60))).await, Err(TokenError::NotYetValid)));
    assert!(user(&jwt(), &at("nbf", json!(now() - 1))).await.is_ok());
    for invalid in [json!("tomorrow"), json!(-1), json!({}), json!([1])] {
        for claim in ["exp", "nbf"] {
            assert!(matches!(user(&jwt(), &at(claim, invalid.clone())).await, Err(TokenError::Malformed)));
        }
    }
    let never = jwt().identify(&at("exp", json!(1e19))).await.unwrap();
    assert_eq!(never.expires, None);
    let lenient = jwt().with_leeway(Duration::from_secs(10));
    assert!(user(&lenient, &at("exp", json!(now() - 1))).await.is_ok());
}

#[tokio::test]
async fn a_token_of_any_configured_secret_is_accepted() {
    let old = sign(SECRET, "7", None, Map::new()).unwrap();
    let new = sign("the next one", "8", Some(Duration::from_secs(9)), Map::new()).unwrap();
    let both = Jwt::new().with_secret("the next one").with_secret(SECRET);
    assert_eq!(
        (user(&both, &old).await.unwrap(), user(&both, &new).await.unwrap()),
        ("7".into(), "8".into())
    );
    let only_new = Jwt::new().with_secret("the next one");
    assert!(matches!(user(&only_new, &old).await, Err(TokenError::Signature)));
}

#[tokio::test]
async fn invalid_tokens_and_unaccepted_algorithms_are_refused() {
    let good = by_secret(&json!({ "id": "7" }));
    let part = |n: usize| good.split('.').nth(n).unwrap();
    // {"alg":"none"} and {"alg":"HS255"}, with the good claims.
    let none = format!("eyJhbGciOiJub25lIn0.{}.", part(1));
    let unknown = format!("eyJhbGciOiJIUzI1NSJ9.{}.{}", part(1), part(2));
    for (token, algorithm) in
        [(none.as_str(), true), (&unknown, true), ("", false), ("a.b.c", false), ("x", false)]
    {
        match user(&jwt(), token).await {
            Err(TokenError::Algorithm) => assert!(algorithm, "{token}"),
            Err(TokenError::Malformed) => assert!(!algorithm, "{token}"),
            other => panic!("{token}: {other:?}"),
        }
    }
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    for other in [Algorithm::HS384, Algorithm::HS512] {
        let token = token(other, &secret, &json!({ "id": "7" }));
        assert!(matches!(user(&jwt(), &token).await, Err(TokenError::Algorithm)), "{other:?}");
    }
    let swapped =
        format!("{}.{}.{}", part(0), by_secret(&json!({ "id": "8" })).split('.').nth(1).unwrap(), part(2));
    assert!(matches!(user(&jwt(), &swapped).await, Err(TokenError::Signature)));
    assert!(matches!(user(&Jwt::new(), &good).await, Err(TokenError::Algorithm)));
    let no_object = by_secret(&json!(["id"]));
    assert!(matches!(user(&jwt(), &no_object).await, Err(TokenError::Malformed)));
}

#[tokio::test]
async fn issuer_and_audience_are_required_if_configured() {
    let strict = jwt().with_issuer("us").with_audience("game");
    let with = |iss: &str, aud: Value| by_secret(&json!({ "id": "7", "iss": iss, "aud": aud }));
    assert!(user(&strict, &with("us", json!("game"))).await.is_ok());
    assert!(user(&strict, &with("us", json!(["other", "game"]))).await.is_ok());
    for token in [with("them", json!("game")), with("us", json!("other")), by_secret(&json!({ "id": "7" }))] {
        assert!(matches!(user(&strict, &token).await, Err(TokenError::IssuerOrAudience)));
    }
    assert!(user(&jwt(), &with("them", json!("other"))).await.is_ok());
}

fn pair(kind: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(kind).unwrap()
}

/// A fixed key, since ring does not generate RSA keys.
fn rsa_pair() -> KeyPair {
    KeyPair::from_pem(include_str!("rsa_key_for_tests.pem")).unwrap()
}

#[tokio::test]
async fn a_public_key_verifies_only_its_own_algorithm() {
    let (rsa, p256, ed) = (rsa_pair(), pair(&PKCS_ECDSA_P256_SHA256), pair(&PKCS_ED25519));
    let claims = json!({ "id": "7" });
    let tokens = [
        token(Algorithm::RS256, &EncodingKey::from_rsa_pem(rsa.serialize_pem().as_bytes()).unwrap(), &claims),
        token(Algorithm::ES256, &EncodingKey::from_ec_pem(p256.serialize_pem().as_bytes()).unwrap(), &claims),
        token(Algorithm::EdDSA, &EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap(), &claims),
    ];
    for (index, key) in [&rsa, &p256, &ed].into_iter().enumerate() {
        let jwt = Jwt::new().with_public_key(&key.public_key_pem()).unwrap();
        for (other, token) in tokens.iter().enumerate() {
            match user(&jwt, token).await {
                Ok(user) => assert!(other == index && user == "7"),
                Err(TokenError::Algorithm) => assert_ne!(other, index),
                Err(error) => panic!("{error}"),
            }
        }
        // The public key used as a shared secret.
        let confused = EncodingKey::from_secret(key.public_key_pem().as_bytes());
        let confused = token(Algorithm::HS256, &confused, &claims);
        assert!(matches!(user(&jwt, &confused).await, Err(TokenError::Algorithm)));
    }
    let unrelated = Jwt::new().with_public_key(&pair(&PKCS_ED25519).public_key_pem()).unwrap();
    assert!(matches!(user(&unrelated, &tokens[2]).await, Err(TokenError::Signature)));
    for bad in ["", "-----BEGIN PUBLIC KEY-----", "secret"] {
        assert!(Jwt::new().with_public_key(bad).is_err());
    }
}
