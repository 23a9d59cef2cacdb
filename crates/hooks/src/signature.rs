//! Signatures of the Standard Webhooks specification: HMAC-SHA256 over the id, the time and the body of a call.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use ring::hmac;

/// The beginning of a secret.
const PREFIX: &str = "whsec_";

/// Shortest and longest secret, in bytes; those of the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A text is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `whsec_` and 24 to 64 bytes in base64")]
pub struct SecretError;

/// Signs calls with one secret, or with several while they are rotated.
#[derive(Clone, Default)]
pub struct Signer(Vec<hmac::Key>);

impl Signer {
    /// Reads secrets. Without one, calls are not signed.
    ///
    /// ```
    /// use switchboard_hooks::Signer;
    ///
    /// let signer = Signer::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
    /// let headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, br#"{"test": 2432232314}"#);
    /// assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    /// assert!(Signer::new(["secret"]).is_err());
    /// ```
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, SecretError> {
        secrets.into_iter().map(key).collect::<Result<_, _>>().map(Signer)
    }

    /// The headers `webhook-id`, `webhook-timestamp` and, if there is a secret, `webhook-signature`.
    ///
    /// # Panics
    /// If the id cannot be part of a header.
    pub fn headers(&self, id: &str, timestamp_s: u64, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        let mut insert = |name: &'static str, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).expect("ids and signatures are visible ASCII"));
        };
        insert("webhook-id", id);
        insert("webhook-timestamp", &timestamp_s.to_string());
        if !self.0.is_empty() {
            let signed = [id.as_bytes(), b".", timestamp_s.to_string().as_bytes(), b".", body].concat();
            let sign = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)));
            insert("webhook-signature", &self.0.iter().map(sign).collect::<Vec<_>>().join(" "));
        }
        headers
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "signer with {} secrets", self.0.len())
    }
}

fn key(secret: &str) -> Result<hmac::Key, SecretError> {
    let encoded = secret.strip_prefix(PREFIX).ok_or(SecretError)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| SecretError)?;
    if !SECRET_BYTES.contains(&bytes.len()) {
        return Err(SecretError);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const VECTOR: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn headers(secrets: &[&str]) -> HeaderMap {
        let signer = Signer::new(secrets.iter().copied()).unwrap();
        signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, br#"{"test": 2432232314}"#)
    }

    #[test]
    fn signatures_are_those_of_the_specification() {
        let headers = headers(&[SECRET]);
        assert_eq!(headers["webhook-signature"], VECTOR);
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn a_call_carries_one_signature_for_each_secret() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let both = headers(&[other, SECRET]);
        let signatures: Vec<&str> = both["webhook-signature"].to_str().unwrap().split(' ').collect();
        assert_eq!((signatures.len(), signatures[1]), (2, VECTOR));
        assert!(headers(&[]).get("webhook-signature").is_none());
    }

    #[test]
    fn a_text_that_is_not_a_secret_is_refused() {
        let base64 = |bytes| STANDARD.encode(vec![7; bytes]);
        for bad in [
            "".to_owned(),
            "whsec_".into(),
            base64(32),
            format!("whsec_{}", base64(23)),
            format!("whsec_{}", base64(65)),
            format!("whsec_{}*", base64(33)),
        ] {
            assert_eq!(Signer::new([&*bad]).unwrap_err(), SecretError, "{bad}");
        }
        for good in [24, 32, 64] {
            assert!(Signer::new([&*format!("whsec_{}", base64(good))]).is_ok(), "{good}");
        }
    }
}
