//! The parts of a token: header, claims and signature in the compact form of RFC 7515.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::error::TokenError;
use crate::json;
use crate::key::Key;

/// Header parameters that change how a token is read. The server implements none of them, so it refuses tokens
/// with one: `crit` names extensions that must be understood (RFC 7515, 4.1.11), `b64` is such an extension
/// (RFC 7797), and `zip` means that the claims are compressed (RFC 7516).
const UNSUPPORTED: [&str; 3] = ["crit", "b64", "zip"];

/// Types of tokens that identify a user. Tokens of another type, such as a proof of possession, may be signed
/// with the same key for another purpose (RFC 8725, 3.11).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A token whose signature is not verified yet.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    /// The id of the key (`kid`).
    pub(crate) key_id: Option<String>,
    /// Header and claims as they are signed.
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    /// Splits a token and checks its header.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') {
            return Err(TokenError::Malformed);
        }
        let header = object(header)?;
        if let Some(parameter) = UNSUPPORTED.into_iter().find(|parameter| header.contains_key(*parameter)) {
            return Err(TokenError::Header(parameter));
        }
        check_type(&header)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
        let algorithm = algorithm.parse().map_err(|_| TokenError::Algorithm)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(TokenError::Header("kid")),
        };
        Ok(Token { algorithm, key_id, signed, claims, signature })
    }

    /// Verifies the signature with a key of the token's algorithm, and returns the claims.
    pub(crate) fn verify(&self, key: &Key) -> Result<Map<String, Value>, TokenError> {
        let Token { algorithm, signed, signature, .. } = *self;
        debug_assert_eq!(key.algorithm, algorithm);
        let verified = jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.key, key.algorithm);
        match verified {
            Ok(true) => object(self.claims),
            Ok(false) => Err(TokenError::Signature),
            Err(_) => Err(TokenError::Malformed),
        }
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let text = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    json::object(&text).ok_or(TokenError::Malformed)
}

/// Checks the type of the token (`typ`), and that its claims are not a token themselves (`cty`).
fn check_type(header: &Map<String, Value>) -> Result<(), TokenError> {
    let media_type = |parameter| match header.get(parameter) {
        None => Ok(None),
        Some(Value::String(media_type)) => {
            let name = media_type.to_ascii_lowercase();
            Ok(Some(name.strip_prefix("application/").map(str::to_owned).unwrap_or(name)))
        }
        Some(_) => Err(TokenError::Header(parameter)),
    };
    if media_type("typ")?.is_some_and(|name| !TYPES.contains(&&*name)) {
        return Err(TokenError::Header("typ"));
    }
    if media_type("cty")?.is_some_and(|name| TYPES.contains(&&*name)) {
        return Err(TokenError::Header("cty"));
    }
    Ok(())
}
