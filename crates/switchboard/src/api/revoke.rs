//! Revoking tokens, on all nodes.

use std::time::SystemTime;

use switchboard_backplane::{REVOKED_UNTIL_MS_MAX, Revocation, RevokedTokens};
use switchboard_event::{NameError, TokenId, UserId, unix_ms};

use crate::api::app::App;
use crate::node::clock::now_ms;
use crate::node::revocations;

/// Tokens to revoke: single ones by their ids, and all of a user.
#[derive(Debug, Clone, Default)]
pub struct Revoke {
    /// The ids (`jti`) of tokens.
    pub tokens: Vec<TokenId>,
    /// Users. Their tokens are revoked if they were issued (`iat`) before [`issued_before`](Self::issued_before).
    pub users: Vec<UserId>,
    /// Tokens of [`users`](Self::users) that were issued at this time or later stay valid. A token without a time of issue
    /// is revoked. Default: the time of the call.
    pub issued_before: Option<SystemTime>,
    /// Time at which the last of the tokens has expired, and the revocation is forgotten. Default:
    /// [`Limits::revocation_lifetime`](crate::Limits::revocation_lifetime) from now on.
    pub until: Option<SystemTime>,
}

impl Revoke {
    /// Revokes the token with this id.
    pub fn token(id: &str) -> Result<Self, NameError> {
        Ok(Revoke { tokens: vec![TokenId::new(id)?], ..Revoke::default() })
    }

    /// Revokes the tokens of a user that were issued until now.
    pub fn user(id: &str) -> Result<Self, NameError> {
        Ok(Revoke { users: vec![UserId::new(id)?], ..Revoke::default() })
    }
}

/// The result of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Number of sockets of this node that have lost their token. Those of other nodes are not counted.
    pub sockets_here: usize,
    /// Where the revocation is stored, such as `redis`. `None`: in the memory of the nodes, so a restart forgets it.
    pub stored_in: Option<&'static str>,
    /// False while the revocation is not stored yet or other nodes do not know it, because Redis or the file is down.
    /// This node tries again every second until it succeeds or stops.
    pub is_complete: bool,
}

/// Why tokens were not revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// Neither a token nor a user is named.
    #[error("expected at least one token or user")]
    Nothing,
    /// The end of the revocation is not in the future, so the tokens have expired already.
    #[error("the tokens have expired already")]
    Expired,
    /// [`Limits::revocations_max`](crate::Limits::revocations_max) revocations are remembered.
    #[error("{max} revocations are remembered; a further one is refused")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

impl App {
    /// Revokes tokens for sockets of the app's project, on all nodes. They are refused from now on, and sockets that they
    /// have logged in lose them as if they had expired: the user, and the rooms and tags that only the token gave.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use switchboard::App;
    /// use switchboard::access::Revoke;
    ///
    /// # let app = App::new();
    /// app.revoke(Revoke::token("1f3a")?).await?;
    /// app.revoke(Revoke::user("ann")?).await?; // such as after a change of the password
    /// # Ok(()) }
    /// ```
    pub async fn revoke(&self, revoke: Revoke) -> Result<Revoked, RevokeError> {
        let node = self.node();
        let Revoke { tokens, users, issued_before, until } = revoke;
        if tokens.is_empty() && users.is_empty() {
            return Err(RevokeError::Nothing);
        }
        let now_ms = now_ms();
        let lifetime_ms = u64::try_from(node.limits().revocation_lifetime.as_millis()).unwrap_or(u64::MAX);
        let until_ms = until.map_or(now_ms.saturating_add(lifetime_ms), unix_ms).min(REVOKED_UNTIL_MS_MAX);
        if until_ms <= now_ms {
            return Err(RevokeError::Expired);
        }
        let issued_before_ms = issued_before.map_or(now_ms, unix_ms).min(REVOKED_UNTIL_MS_MAX);
        let of_user = |user| RevokedTokens::OfUser { user, issued_before_ms };
        let tokens = tokens.into_iter().map(RevokedTokens::WithId).chain(users.into_iter().map(of_user));
        let revocations: Vec<Revocation> = tokens
            .map(|tokens| Revocation { project: self.project_id().clone(), tokens, until_ms })
            .collect();
        let applied = revocations::revoke(node, &revocations).await;
        let applied = applied.map_err(|max| RevokeError::TooMany { max })?;
        Ok(Revoked {
            sockets_here: applied.sockets_here,
            stored_in: node.revocation_store().map(|store| store.location()),
            is_complete: applied.is_shared,
        })
    }
}
