//! Authentication with JSON Web Tokens: by shared secrets, public keys, or a key set.
//!
//! [`Jwt`] is a [`Verifier`](switchboard::access::Verifier) for [`App::with_verifier`](switchboard::App::with_verifier):
//!
//! ```
//! use switchboard::App;
//! use switchboard_auth::Jwt;
//!
//! # fn example(secret: &str) -> Result<App, switchboard_auth::KeyError> {
//! let app = App::new().with_verifier(Jwt::new().with_secret(secret)?);
//! # Ok(app) }
//! ```
//!
//! Each key is only used with its own algorithm, whatever algorithm a token claims, and `none` is never
//! accepted.

mod claims;
mod crypto;
mod error;
mod issuers;
mod json;
mod jwks;
mod jwt;
mod key;
mod secret;
mod sign;
mod token;

pub use crypto::install_crypto_provider;
pub use error::{JwksError, KeyError, TokenError};
pub use issuers::Issuers;
pub use jwks::JwksOptions;
pub use jwt::Jwt;
pub use secret::SECRET_BYTES_MIN;
pub use sign::{SignError, sign};
