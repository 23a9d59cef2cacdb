//! Several issuers of tokens, each with keys, rules and projects of its own.

use switchboard::access::{Verifier, VerifyFuture};
use switchboard::{IdentifyError, Identity, ProjectId};

use crate::error::TokenError;
use crate::jwt::Jwt;

/// Verifies tokens of several issuers. A token is accepted if an issuer for the project of the socket accepts it.
///
/// ```
/// use switchboard::{App, ProjectId};
/// use switchboard_auth::{Issuers, Jwt};
///
/// # fn example(chess_secret: &str, poker_secret: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let chess = Jwt::new().with_secret(chess_secret)?.with_projects([ProjectId::new("chess")?]);
/// let poker = Jwt::new().with_secret(poker_secret)?.with_projects([ProjectId::new("poker")?]);
/// let app = App::new().with_verifier(Issuers::new([chess, poker]));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Issuers(Vec<Jwt>);

impl Issuers {
    /// A verifier for these issuers, which are tried in this order.
    pub fn new(issuers: impl IntoIterator<Item = Jwt>) -> Self {
        Issuers(issuers.into_iter().collect())
    }

    /// Verifies a token for a socket of a project, or of any project, and returns its user.
    ///
    /// # Errors
    /// If all issuers refuse the token, the error comes from the issuer that signed it, if there is one.
    pub async fn identify(&self, project: Option<&ProjectId>, token: &str) -> Result<Identity, TokenError> {
        let covers = |issuer: &&Jwt| project.is_none_or(|project| issuer.covers(project));
        let mut outcome = Err(TokenError::Project);
        for issuer in self.0.iter().filter(covers) {
            match issuer.identify(token).await {
                Err(error) if is_of_another_issuer(&error) => {
                    if outcome.as_ref().is_err_and(is_of_another_issuer) {
                        outcome = Err(error);
                    }
                }
                Err(error) => outcome = Err(error),
                identity => return identity,
            }
        }
        outcome
    }
}

/// Returns true if another issuer may accept the token.
fn is_of_another_issuer(error: &TokenError) -> bool {
    use TokenError::{Algorithm, Issuer, Project, Signature};
    matches!(error, Algorithm | Signature | Issuer | Project)
}

impl Verifier for Issuers {
    fn verify<'a>(&'a self, project: &'a ProjectId, token: &'a str) -> VerifyFuture<'a> {
        Box::pin(async move { self.identify(Some(project), token).await.map_err(IdentifyError::from) })
    }
}
