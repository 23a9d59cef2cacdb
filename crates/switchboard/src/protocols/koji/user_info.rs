//! Changes of user infos, and their bound for a shard.

use std::sync::Arc;

use switchboard_event::{Payload, PayloadError};
use switchboard_hub::Session;

use crate::node::Node;
use crate::protocols::koji::client_state::ClientState;
use crate::protocols::koji::member_lists::MemberLists;

/// A user info of at most this many bytes is accepted on any shard, so that clients with long ones cannot keep the
/// others from setting a name.
const SHORT_INFO_BYTES: usize = 256;

/// The user info of a socket was not set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserInfoError {
    /// The socket's protocol has no user infos.
    #[error("the socket is not a Koji client")]
    Protocol,
    /// The value is not a JSON object.
    #[error("a user info must be a JSON object")]
    NotAnObject,
    /// The value cannot be serialized as JSON.
    #[error(transparent)]
    Data(#[from] PayloadError),
    /// [`ProjectRules::shard_info_bytes_max`](crate::protocols::ProjectRules::shard_info_bytes_max) is reached.
    #[error("the user infos of the shard would exceed {max} bytes together")]
    ShardFull {
        /// The bound.
        max: usize,
    },
}

/// Sets the user info of a client and sends it to the other clients of the shard.
pub(crate) fn set_user_info(
    node: &Arc<Node>,
    client: &ClientState,
    session: &Session,
    user_info: &Payload,
) -> Result<(), UserInfoError> {
    // It is kept for as long as the client stays.
    let (user_info, bytes) = (user_info.detach(), user_info.as_bytes().len());
    let max = client.rules.shard_info_bytes_max;
    let is_accepted = |others: usize| bytes <= SHORT_INFO_BYTES || others + bytes <= max;
    let lists = node.extension::<MemberLists>();
    match lists.set_user_info(node, client, session, &user_info, is_accepted) {
        true => Ok(()),
        false => Err(UserInfoError::ShardFull { max }),
    }
}
