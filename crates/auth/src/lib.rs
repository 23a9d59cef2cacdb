//! Who a token names: JSON Web Tokens by shared secrets, public keys, or the address of a key set.
//!
//! [`Jwt`] is a [`Verifier`](switchboard::Verifier) for [`App::with_verifier`](switchboard::App::with_verifier):
//!
//! ```
//! use switchboard::App;
//! use switchboard_auth::Jwt;
//!
//! let app = App::new().with_verifier(Jwt::new().with_secret("a long random secret"));
//! ```
//!
//! What is refused does not depend on what the token says of itself: a key is only ever used with
//! the algorithm it is for, and `none` with none.

mod crypto;
mod jwks;
mod jwt;
mod sign;

pub use crypto::install_crypto_provider;
pub use jwks::{JwksError, Pace};
pub use jwt::{Jwt, KeyError, TokenError};
pub use sign::{SignError, sign};
