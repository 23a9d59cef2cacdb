//! A key together with the one algorithm it may be used with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::error::KeyError;
use crate::secret::SECRET_BYTES_MIN;

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    /// The key id (`kid`), if the key comes from a key set that has one.
    pub(crate) id: Option<String>,
    pub(crate) key: DecodingKey,
}

impl Key {
    /// The algorithms of [`from_jwk`](Self::from_jwk). Shared secrets are not accepted from a key set, which is
    /// public.
    pub(crate) const JWK_ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    pub(crate) fn from_secret(secret: &str) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret { bytes: secret.len() });
        }
        Ok(Key { algorithm: Algorithm::HS256, id: None, key: DecodingKey::from_secret(secret.as_bytes()) })
    }

    pub(crate) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pem = pem.as_bytes();
        let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
        let p256 = || DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
        let ed25519 = || DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
        let (algorithm, key) = rsa.or_else(|_| p256()).or_else(|_| ed25519()).map_err(|_| KeyError::Pem)?;
        Ok(Key { algorithm, id: None, key })
    }

    /// Returns `None` if the key is not for signatures, or not for one of the accepted algorithms.
    pub(crate) fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let (usage, operations) = (&jwk.common.public_key_use, &jwk.common.key_operations);
        let is_for_signatures = usage.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_signatures {
            return None;
        }
        let (algorithm, name) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        if jwk.common.key_algorithm.is_some_and(|declared| declared != name) {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Key { algorithm, id: jwk.common.key_id.clone(), key })
    }
}
