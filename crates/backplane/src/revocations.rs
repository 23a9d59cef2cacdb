//! Revoked tokens, which all nodes remember until the tokens would have expired.

use switchboard_event::{ProjectId, TokenId, UserId};

use crate::future::BackplaneFuture;

/// The end of the year 9999 in ms since 1970. No revocation is stored for longer.
pub const REVOKED_UNTIL_MS_MAX: u64 = 253_402_300_799_000;

/// The tokens that a [`Revocation`] ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokedTokens {
    /// The token with this id (`jti`).
    WithId(TokenId),
    /// Those of a user that were issued (`iat`) before this time in ms since 1970, or at an unknown time.
    OfUser {
        /// The user.
        user: UserId,
        /// Tokens from this time on stay valid.
        issued_before_ms: u64,
    },
}

/// Tokens of a project that are no longer accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The project; tokens for sockets of other projects stay valid.
    pub project: ProjectId,
    /// The tokens.
    pub tokens: RevokedTokens,
    /// Time in ms since 1970 at which the last of these tokens has expired, and the revocation is forgotten. At most
    /// [`REVOKED_UNTIL_MS_MAX`].
    pub until_ms: u64,
}

impl Revocation {
    /// The token or user, as a text that is unique over all projects:
    /// `t` or `u`, the length of the project's name, `:`, the project, and the token's id or the user.
    pub fn key(&self) -> String {
        match &self.tokens {
            RevokedTokens::WithId(id) => Self::key_of_token(&self.project, id),
            RevokedTokens::OfUser { user, .. } => Self::key_of_user(&self.project, user),
        }
    }

    /// The [`key`](Self::key) of a revoked token.
    pub fn key_of_token(project: &ProjectId, id: &TokenId) -> String {
        format!("t{}:{project}{id}", project.len())
    }

    /// The [`key`](Self::key) of a user with revoked tokens.
    pub fn key_of_user(project: &ProjectId, user: &UserId) -> String {
        format!("u{}:{project}{user}", project.len())
    }

    /// The time before which the tokens were issued, in ms since 1970. 0 for a token with an id.
    pub fn issued_before_ms(&self) -> u64 {
        match self.tokens {
            RevokedTokens::WithId(_) => 0,
            RevokedTokens::OfUser { issued_before_ms, .. } => issued_before_ms,
        }
    }

    /// Reads a stored revocation. `None` if the key is not valid.
    pub fn read(key: &str, issued_before_ms: u64, until_ms: u64) -> Option<Self> {
        let (head, names) = key.split_once(':')?;
        let (kind, len) = head.split_at_checked(1)?;
        let (project, name) = names.split_at_checked(len.parse().ok()?)?;
        let tokens = match kind {
            "t" => RevokedTokens::WithId(TokenId::new(name).ok()?),
            "u" => RevokedTokens::OfUser { user: UserId::new(name).ok()?, issued_before_ms },
            _ => return None,
        };
        Some(Revocation { project: ProjectId::new(project).ok()?, tokens, until_ms })
    }
}

/// Stores revocations. Every implementation passes the same contract tests.
pub trait RevocationStore: Send + Sync + 'static {
    /// Where they are stored, as one word for answers: `redis` or `file`.
    fn location(&self) -> &'static str;

    /// Stores revocations, as durably as the backend stores anything. If there is one for the same token or user, the later of
    /// both times counts, for each of them.
    fn save<'a>(&'a self, revocations: &'a [Revocation]) -> BackplaneFuture<'a, ()>;

    /// All revocations, unordered. Those of expired tokens may be missing.
    fn load(&self) -> BackplaneFuture<'_, Vec<Revocation>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(project: &str, tokens: RevokedTokens) -> Revocation {
        Revocation { project: ProjectId::new(project).unwrap(), tokens, until_ms: 7 }
    }

    #[test]
    fn different_revocations_have_different_keys_and_a_key_is_read_as_the_same_revocation() {
        let token = |id: &str| RevokedTokens::WithId(TokenId::new(id).unwrap());
        let user =
            |id: &str| RevokedTokens::OfUser { user: UserId::new(id).unwrap(), issued_before_ms: u64::MAX };
        let all = [
            revocation("a", token("b:c")),
            revocation("a", user("b:c")),
            revocation("a:b", token("c")),
            revocation("ab", token(":c")),
            revocation("1:a", user("é")),
            revocation("é", user("1")),
        ];
        let mut keys: Vec<String> = all.iter().map(Revocation::key).collect();
        for (revocation, key) in all.iter().zip(&keys) {
            let again = Revocation::read(key, revocation.issued_before_ms(), revocation.until_ms);
            assert_eq!(again.as_ref(), Some(revocation), "{key}");
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all.len());
    }

    #[test]
    fn a_text_that_is_no_key_is_not_read() {
        for key in
            ["", "t", "t1", "t1:", "t1:a", "t0:a", "t9:ab", "x1:ab", "t-1:ab", "t1:éa", "1:ab", "é1:ab"]
        {
            assert_eq!(Revocation::read(key, 0, 0), None, "{key}");
        }
    }
}
