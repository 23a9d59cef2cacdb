//! Verification of valid and invalid tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use serde_json::{Map, Value, json};
use switchboard_auth::{Jwt, KeyError, SECRET_BYTES_MIN, SignError, TokenError, sign};

const SECRET: &str = "a secret of these tests, and long enough";
const NEXT_SECRET: &str = "the next one of these tests, also long enough";

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
    Jwt::new().with_secret(SECRET).unwrap()
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
    let in_ms = at("exp", json!(now() * 1000));
    assert!(matches!(user(&jwt(), &in_ms).await, Err(TokenError::Claim("exp"))));
    let never = jwt().identify(&by_secret(&json!({ "id": "7" }))).await.unwrap();
    assert_eq!(never.expires, None);
    let lenient = jwt().with_leeway(Duration::from_secs(10));
    assert!(user(&lenient, &at("exp", json!(now() - 1))).await.is_ok());
}

#[tokio::test]
async fn a_token_of_any_configured_secret_is_accepted() {
    let old = sign(SECRET, "7", None, Map::new()).unwrap();
    let new = sign(NEXT_SECRET, "8", Some(Duration::from_secs(9)), Map::new()).unwrap();
    let both = Jwt::new().with_secret(NEXT_SECRET).unwrap().with_secret(SECRET).unwrap();
    assert_eq!(
        (user(&both, &old).await.unwrap(), user(&both, &new).await.unwrap()),
        ("7".into(), "8".into())
    );
    let forever = Duration::from_secs(1 << 40);
    assert!(matches!(sign(SECRET, "7", Some(forever), Map::new()), Err(SignError::Lifetime)));
    let only_new = Jwt::new().with_secret(NEXT_SECRET).unwrap();
    assert!(matches!(user(&only_new, &old).await, Err(TokenError::Signature)));
}

#[test]
fn a_secret_shorter_than_the_hash_is_refused() {
    for short in ["", "a", "31 bytes are one too few, alas!"] {
        let refused = Jwt::new().with_secret(short).err().unwrap();
        assert!(matches!(refused, KeyError::ShortSecret { bytes } if bytes == short.len()), "{refused}");
        assert!(matches!(sign(short, "7", None, Map::new()), Err(SignError::ShortSecret { .. })));
        assert!(!refused.to_string().contains("alas"), "{refused}");
    }
    for long in ["32 bytes are enough for HMAC-256", "sixteen letters é × ü ß ö ä"] {
        assert!(long.len() >= SECRET_BYTES_MIN);
        assert!(Jwt::new().with_secret(long).is_ok() && sign(long, "7", None, Map::new()).is_ok(), "{long}");
    }
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
    for token in [with("them", json!("game")), with("us ", json!("game")), by_secret(&json!({ "id": "7" }))] {
        assert!(matches!(user(&strict, &token).await, Err(TokenError::Issuer)));
    }
    for audience in [json!("other"), json!([]), json!(["Game", "games"])] {
        assert!(matches!(user(&strict, &with("us", audience)).await, Err(TokenError::Audience)));
    }
    assert!(user(&jwt(), &with("them", json!("other"))).await.is_ok());
}

#[tokio::test]
async fn an_issuer_or_audience_of_the_wrong_type_is_refused_even_if_none_is_configured() {
    for jwt in [jwt(), jwt().with_issuer("us").with_audience("game")] {
        for issuer in [json!(["us"]), json!(["them", "us"]), json!({ "us": "us" }), json!(5), json!(null)] {
            let token = by_secret(&json!({ "id": "7", "iss": issuer, "aud": "game" }));
            assert!(matches!(user(&jwt, &token).await, Err(TokenError::Claim("iss"))), "{issuer}");
        }
        for audience in [json!(["game", 5]), json!([["game"]]), json!({}), json!(null), json!(true)] {
            let token = by_secret(&json!({ "id": "7", "iss": "us", "aud": audience }));
            assert!(matches!(user(&jwt, &token).await, Err(TokenError::Claim("aud"))), "{audience}");
        }
    }
}

/// A token with any header and claims, and a valid signature.
fn signed(header: &str, claims: &str) -> String {
    switchboard_auth::install_crypto_provider();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

#[tokio::test]
async fn header_parameters_that_change_the_meaning_of_a_token_are_refused() {
    for (parameter, value) in [
        ("crit", r#"["b64"]"#),
        ("crit", "[]"),
        ("crit", r#"["exp"]"#),
        ("crit", "null"),
        ("b64", "false"),
        ("b64", "true"),
        ("zip", r#""DEF""#),
        ("typ", r#""dpop+jwt""#),
        ("typ", r#""secevent+jwt""#),
        ("typ", r#""""#),
        ("typ", r#"["JWT"]"#),
        ("typ", "null"),
        ("cty", r#""JWT""#),
        ("cty", r#""application/jwt""#),
        ("kid", "5"),
    ] {
        let token = signed(&format!(r#"{{"alg":"HS256","{parameter}":{value}}}"#), r#"{"id":"7"}"#);
        match user(&jwt(), &token).await {
            Err(TokenError::Header(refused)) => assert_eq!(refused, parameter),
            other => panic!("{parameter} {value}: {other:?}"),
        }
    }
    let reserved = signed(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, r#"{"id":"7"}"#);
    assert!(user(&jwt(), &reserved).await.is_err());
}

#[tokio::test]
async fn unknown_header_parameters_are_ignored_and_never_used_as_keys() {
    for more in [
        "",
        r#","typ":"jwt""#,
        r#","typ":"at+JWT""#,
        r#","typ":"application/at+jwt""#,
        r#","cty":"json""#,
        r#","kid":"../../dev/null""#,
        r#","jku":"http://127.0.0.1:9/keys","x5u":"http://127.0.0.1:9/""#,
        r#","jwk":{"kty":"oct","k":"AA"},"x":{"crit":1}"#,
    ] {
        let token = signed(&format!(r#"{{"alg":"HS256"{more}}}"#), r#"{"id":"7"}"#);
        assert_eq!(user(&jwt(), &token).await.unwrap(), "7", "{more}");
    }
}

#[tokio::test]
async fn a_token_that_parsers_could_read_in_two_ways_is_refused() {
    let good = r#"{"alg":"HS256"}"#;
    for (header, claims) in [
        (r#"{"alg":"none","alg":"HS256"}"#, r#"{"id":"7"}"#),
        (r#"{"alg":"HS256","alg":"HS256"}"#, r#"{"id":"7"}"#),
        (r#"{"alg":"HS256","\u0061lg":"HS256"}"#, r#"{"id":"7"}"#),
        (good, r#"{"id":"7","id":"8"}"#),
        (good, r#"{"exp":1,"id":"7","exp":99999999999}"#),
        (good, r#"{"id":"7","more":{"a":1,"a":2}}"#),
        (good, r#"{"id":"7"} {"id":"8"}"#),
        (good, r#"["id"]"#),
        (good, ""),
        ("", r#"{"id":"7"}"#),
        (r#"["alg","HS256"]"#, r#"{"id":"7"}"#),
        (r#"{"alg":["HS256"]}"#, r#"{"id":"7"}"#),
        (r#"{"ALG":"HS256"}"#, r#"{"id":"7"}"#),
    ] {
        let outcome = user(&jwt(), &signed(header, claims)).await;
        assert!(matches!(outcome, Err(TokenError::Malformed)), "{header} {claims}: {outcome:?}");
    }
    let token = signed(good, r#"{"id":"7"}"#);
    assert_eq!(user(&jwt(), &token).await.unwrap(), "7");
    for changed in [
        format!("{token}="),
        format!("{token}."),
        format!(".{token}"),
        format!("{token} "),
        format!("{token}\n"),
        token.replace('.', "=."),
        token.replacen('.', "..", 1),
        token.replace('.', "\n."),
    ] {
        assert!(user(&jwt(), &changed).await.is_err(), "{changed:?}");
    }
    let (message, signature) = token.rsplit_once('.').unwrap();
    for other in b'A'..=b'z' {
        // The last character of a signature has two bits without a meaning.
        let changed = format!("{message}.{}{}", &signature[..signature.len() - 1], other as char);
        assert!(changed == token || user(&jwt(), &changed).await.is_err(), "{changed}");
    }
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
