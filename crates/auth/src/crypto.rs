//! ring as the crypto provider of `jsonwebtoken`, which itself offers only aws-lc and RustCrypto.
//!
//! The crate has one provider per process, and a provider that was installed earlier stays. Ours covers all of its
//! algorithms, so that an application that uses the crate too does not lose any.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self as public_key, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use ring::{digest, hmac, rand::SystemRandom};

type Result<T, E = Error> = std::result::Result<T, E>;

/// Makes ring the crypto provider of `jsonwebtoken` in this process, unless it has one already.
///
/// [`Jwt::new`](crate::Jwt::new) and [`sign`](crate::sign) call it. A program that calls `jsonwebtoken`
/// itself calls it first.
pub fn install_crypto_provider() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |&algorithm, key| {
            expect_family(algorithm, key.family())?;
            Ok(Box::new(RingSigner { algorithm, key: key.clone() }) as Box<dyn JwtSigner>)
        },
        verifier_factory: |&algorithm, key| {
            expect_family(algorithm, key.family())?;
            Ok(Box::new(RingVerifier { algorithm, key: key.clone() }) as Box<dyn JwtVerifier>)
        },
        key_utils: KeyUtils {
            rsa_pub_components_from_private_key: |der| rsa_components(rsa_pair(der)?.public_key().as_ref()),
            rsa_pub_components_from_public_key: rsa_components,
            ec_pub_components_from_private_key: ec_components,
            ed_pub_components_from_private_key: |der, _| Ok(ed_pair(der)?.public_key().as_ref().to_vec()),
            compute_digest,
        },
    };
    // An error means that a provider is installed already, which is as good.
    let _ = PROVIDER.install_default();
}

struct RingSigner {
    algorithm: Algorithm,
    key: EncodingKey,
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.sign(message).map_err(SignatureError::from_source)
    }
}

impl RingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let key = self.key.as_bytes();
        match self.algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                let key = hmac::Key::new(hmac_algorithm(self.algorithm)?, key);
                Ok(hmac::sign(&key, message).as_ref().to_vec())
            }
            Algorithm::EdDSA => Ok(ed_pair(key)?.sign(message).as_ref().to_vec()),
            Algorithm::ES256 | Algorithm::ES384 => {
                let signed = ec_pair(key, self.algorithm)?.sign(&SystemRandom::new(), message);
                signed.map(|signature| signature.as_ref().to_vec()).map_err(|_| failed())
            }
            Algorithm::RS256 => sign_rsa(key, &public_key::RSA_PKCS1_SHA256, message),
            Algorithm::RS384 => sign_rsa(key, &public_key::RSA_PKCS1_SHA384, message),
            Algorithm::RS512 => sign_rsa(key, &public_key::RSA_PKCS1_SHA512, message),
            Algorithm::PS256 => sign_rsa(key, &public_key::RSA_PSS_SHA256, message),
            Algorithm::PS384 => sign_rsa(key, &public_key::RSA_PSS_SHA384, message),
            Algorithm::PS512 => sign_rsa(key, &public_key::RSA_PSS_SHA512, message),
            _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        }
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.check(message, signature).map_err(SignatureError::from_source)
    }
}

impl RingVerifier {
    fn check(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => public_key::RsaPublicKeyComponents { n, e }
                .verify(rsa_parameters(self.algorithm)?, message, signature)
                .map_err(|_| mismatch()),
            DecodingKeyKind::SecretOrDer(key) if self.key.family() == AlgorithmFamily::Hmac => {
                let key = hmac::Key::new(hmac_algorithm(self.algorithm)?, key);
                hmac::verify(&key, message, signature).map_err(|_| mismatch())
            }
            DecodingKeyKind::SecretOrDer(key) => {
                let algorithm: &'static dyn public_key::VerificationAlgorithm = match self.algorithm {
                    Algorithm::EdDSA => &public_key::ED25519,
                    Algorithm::ES256 => &public_key::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &public_key::ECDSA_P384_SHA384_FIXED,
                    rsa => rsa_parameters(rsa)?,
                };
                public_key::UnparsedPublicKey::new(algorithm, key)
                    .verify(message, signature)
                    .map_err(|_| mismatch())
            }
        }
    }
}

fn mismatch() -> Error {
    new_error(ErrorKind::InvalidSignature)
}

fn failed() -> Error {
    new_error(ErrorKind::Signing("ring could not sign".into()))
}

/// Rejects a key of another kind than the algorithm needs, such as a public key that is used as an HMAC secret.
fn expect_family(algorithm: Algorithm, family: AlgorithmFamily) -> Result<()> {
    match algorithm.family() == family {
        true => Ok(()),
        false => Err(new_error(ErrorKind::InvalidKeyFormat)),
    }
}

fn hmac_algorithm(algorithm: Algorithm) -> Result<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Ok(hmac::HMAC_SHA256),
        Algorithm::HS384 => Ok(hmac::HMAC_SHA384),
        Algorithm::HS512 => Ok(hmac::HMAC_SHA512),
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Result<&'static public_key::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Ok(&public_key::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Ok(&public_key::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Ok(&public_key::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Ok(&public_key::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Ok(&public_key::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Ok(&public_key::RSA_PSS_2048_8192_SHA512),
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    }
}

fn sign_rsa(key: &[u8], padding: &'static dyn public_key::RsaEncoding, message: &[u8]) -> Result<Vec<u8>> {
    let pair = rsa_pair(key)?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(|_| failed())?;
    Ok(signature)
}

fn rsa_pair(der: &[u8]) -> Result<RsaKeyPair> {
    RsaKeyPair::from_der(der).map_err(|error| new_error(ErrorKind::InvalidRsaKey(error.to_string())))
}

fn ed_pair(der: &[u8]) -> Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| new_error(ErrorKind::InvalidEddsaKey))
}

fn ec_pair(der: &[u8], algorithm: Algorithm) -> Result<EcdsaKeyPair> {
    let parameters = match algorithm {
        Algorithm::ES256 => &public_key::ECDSA_P256_SHA256_FIXED_SIGNING,
        Algorithm::ES384 => &public_key::ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => return Err(new_error(ErrorKind::InvalidAlgorithm)),
    };
    let pair = EcdsaKeyPair::from_pkcs8(parameters, der, &SystemRandom::new());
    pair.map_err(|_| new_error(ErrorKind::InvalidEcdsaKey))
}

/// The curve and the coordinates of the public key, which ring gives as the byte 4 followed by both.
fn ec_components(der: &[u8], algorithm: Algorithm) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>)> {
    let pair = ec_pair(der, algorithm)?;
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let curve = match algorithm {
        Algorithm::ES384 => EllipticCurve::P384,
        _ => EllipticCurve::P256,
    };
    Ok((curve, x.to_vec(), y.to_vec()))
}

/// The modulus and the exponent of a public key in PKCS#1: a DER sequence of two integers.
fn rsa_components(der: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let read = || {
        let (sequence, _) = der_element(der, 0x30)?;
        let (modulus, rest) = der_element(sequence, 0x02)?;
        let (exponent, _) = der_element(rest, 0x02)?;
        Some((unsigned(modulus), unsigned(exponent)))
    };
    read().ok_or_else(|| new_error(ErrorKind::InvalidRsaKey("not a PKCS#1 public key".into())))
}

/// The content of the DER element at the start of `der`, and the bytes after it.
fn der_element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    if first < 0x80 {
        return rest.split_at_checked(first.into());
    }
    let (length, rest) = rest.split_at_checked((first & 0x7f).into())?;
    let length =
        length.iter().try_fold(0_usize, |sum, &byte| Some(sum.checked_mul(256)? | usize::from(byte)))?;
    rest.split_at_checked(length)
}

/// A DER integer without its leading zeros.
fn unsigned(integer: &[u8]) -> Vec<u8> {
    integer.iter().copied().skip_while(|&byte| byte == 0).collect()
}

fn compute_digest(data: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    let algorithm = match hash {
        ThumbprintHash::SHA256 => &digest::SHA256,
        ThumbprintHash::SHA384 => &digest::SHA384,
        ThumbprintHash::SHA512 => &digest::SHA512,
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    Ok(digest::digest(algorithm, data).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Header, Validation};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm};

    use super::*;

    const RSA: &[u8] = include_bytes!("../tests/rsa_key_for_tests.pem");
    /// In version 1 of PKCS#8, which `Jwk::from_encoding_key` expects; rcgen writes version 2.
    const ED25519: &[u8] = include_bytes!("../tests/ed25519_key_for_tests.pem");

    fn pem(kind: &'static SignatureAlgorithm) -> String {
        KeyPair::generate_for(kind).unwrap().serialize_pem()
    }

    /// One key per family and curve, with the algorithms that use it.
    fn keys() -> Vec<(EncodingKey, Vec<Algorithm>)> {
        let (p256, p384) = (pem(&PKCS_ECDSA_P256_SHA256), pem(&PKCS_ECDSA_P384_SHA384));
        vec![
            (EncodingKey::from_secret(b"secret"), vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]),
            (EncodingKey::from_ec_pem(p256.as_bytes()).unwrap(), vec![Algorithm::ES256]),
            (EncodingKey::from_ec_pem(p384.as_bytes()).unwrap(), vec![Algorithm::ES384]),
            (EncodingKey::from_ed_pem(ED25519).unwrap(), vec![Algorithm::EdDSA]),
            (
                EncodingKey::from_rsa_pem(RSA).unwrap(),
                vec![
                    Algorithm::RS256,
                    Algorithm::RS384,
                    Algorithm::RS512,
                    Algorithm::PS256,
                    Algorithm::PS384,
                    Algorithm::PS512,
                ],
            ),
        ]
    }

    #[test]
    fn every_algorithm_verifies_its_own_signature_and_rejects_a_changed_token() {
        install_crypto_provider();
        let claims = BTreeMap::from([("id", "7")]);
        for (key, algorithms) in keys() {
            for algorithm in algorithms {
                let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap();
                let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
                let public = DecodingKey::from_jwk(&jwk).unwrap();
                let mut validation = Validation::new(algorithm);
                validation.set_required_spec_claims::<&str>(&[]);
                let decode = |token: &str| {
                    jsonwebtoken::decode::<BTreeMap<String, String>>(token, &public, &validation)
                };
                assert_eq!(decode(&token).unwrap().claims["id"], "7", "{algorithm:?}");
                let (head, signature) = token.rsplit_once('.').unwrap();
                let other = if signature.starts_with('A') { "B" } else { "A" };
                let changed = format!("{head}.{other}{}", &signature[1..]);
                assert_eq!(
                    decode(&changed).unwrap_err().kind(),
                    &ErrorKind::InvalidSignature,
                    "{algorithm:?}"
                );
            }
        }
    }

    #[test]
    fn a_key_of_another_family_is_rejected() {
        install_crypto_provider();
        let secret = EncodingKey::from_secret(b"secret");
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            assert!(
                jsonwebtoken::encode(&Header::new(algorithm), &BTreeMap::from([("id", "7")]), &secret)
                    .is_err()
            );
        }
    }

    #[test]
    fn a_broken_rsa_public_key_is_an_error() {
        for der in [&b""[..], b"\x30", b"\x30\x05\x02\x01\x07", b"\x30\x82\xff\xff", b"\x02\x01\x07"] {
            assert!(rsa_components(der).is_err(), "{der:?}");
        }
    }
}
