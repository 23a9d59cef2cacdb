//! Tokens: where they come from, and when a token has to be replaced.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why the program has no token.
pub(crate) type TokenError = Box<dyn Error + Send + Sync>;

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// The program's function that returns a token.
#[derive(Clone)]
pub(crate) struct TokenSource(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl TokenSource {
    pub(crate) fn new<Fut, E>(source: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<TokenError>,
    {
        TokenSource(Arc::new(move || {
            let token = source();
            Box::pin(async { token.await.map_err(Into::into) })
        }))
    }

    /// The next token.
    pub(crate) async fn next(&self) -> Result<String, TokenError> {
        (self.0)().await
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

/// The delay before a token is replaced if it has expired by this machine's clock, or if its replacement failed.
pub(crate) const RETRY: Duration = Duration::from_secs(30);

/// Time until a JSON Web Token should be replaced: four fifths of its remaining lifetime. `None` if it does not expire,
/// or is no such token.
pub(crate) fn refresh_delay(token: &str, now: SystemTime) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    let end = UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)?;
    Some(match end.duration_since(now) {
        Ok(remaining) => (remaining * 4 / 5).max(Duration::from_secs(1)),
        Err(_) => RETRY,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_replaced_after_four_fifths_of_its_remaining_lifetime() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        for (claims, delay) in [
            (r#"{"exp":1100}"#, Some(80)),
            (r#"{"exp":1100.0,"sub":"ann"}"#, Some(80)),
            (r#"{"exp":1001}"#, Some(1)),
            (r#"{"exp":1000}"#, Some(1)),
            (r#"{"exp":900}"#, Some(30)),
            (r#"{"sub":"ann"}"#, None),
            (r#"{"exp":"1100"}"#, None),
            (r#"{"exp":-1}"#, None),
            (r#"{"exp":1e300}"#, None),
        ] {
            assert_eq!(refresh_delay(&token(claims), now), delay.map(Duration::from_secs), "{claims}");
        }
        for text in ["", "opaque", "a.b.c", "a.b"] {
            assert_eq!(refresh_delay(text, now), None, "{text}");
        }
    }
}
