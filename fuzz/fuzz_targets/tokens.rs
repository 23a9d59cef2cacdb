//! Any tokens: reading does not panic, a token identifies a user only if this server's key has signed it, and one that does
//! has a user and has not expired.
#![no_main]

use std::sync::LazyLock;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey};
use libfuzzer_sys::fuzz_target;
use switchboard::Identity;
use switchboard_auth::{Jwt, install_crypto_provider};

const SECRET: &str = "a secret of more than thirty-two bytes";

static VERIFIER: LazyLock<Jwt> = LazyLock::new(|| Jwt::new().with_secret(SECRET).expect("the secret is long enough"));
static KEY: LazyLock<EncodingKey> = LazyLock::new(|| {
    install_crypto_provider();
    EncodingKey::from_secret(SECRET.as_bytes())
});

fn identify(token: &str) -> Option<Identity> {
    let verified = VERIFIER.identify(token).now_or_never();
    verified.expect("no key is fetched").ok()
}

// The first line is a header, the rest are claims; they are signed as they are. The whole input is a token without a
// signature of the server.
fuzz_target!(|text: &str| {
    assert!(identify(text).is_none(), "nobody has signed it");
    let Some((header, claims)) = text.split_once('\n') else { return };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &KEY, Algorithm::HS256).expect("it can be signed");
    let Some(identity) = identify(&format!("{signed}.{signature}")) else { return };
    assert!(!identity.user.as_str().is_empty());
    assert!(identity.expires.is_none_or(|end| end > SystemTime::now()));
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    assert!(identify(&format!("{signed}.{other}{}", &signature[1..])).is_none(), "another signature");
    assert!(identify(&format!("{signed}.")).is_none(), "no signature");
});
