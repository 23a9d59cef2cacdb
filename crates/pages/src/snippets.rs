//! Complete pages of one file, to be copied. Each connects to [`ADDRESS`], which the server replaces by its own.

/// The address in the snippets.
pub const ADDRESS: &str = "ws://localhost:3000/";

/// A chat in a room, over the emit protocol.
pub const ROOMS: &str = include_str!("../snippets/rooms.html");
/// The line of [`ROOMS`] that shows the sender its own message. A server that sends messages to the sender as well needs
/// the page without it.
pub const ROOMS_OWN_LINE: &str =
    "  show(`You: ${text.value}`); // the server sends a message to the other members only\n";

/// The pointers of everyone on a shard, over the Koji protocol.
pub const SHARD: &str = include_str!("../snippets/shard.html");
/// The project in [`SHARD`], as it is in the address.
pub const SHARD_PROJECT: &str = "projectId=pointers";

/// The capacity in [`SHARD`], as it is in the address.
pub const SHARD_CAPACITY: &str = "maxConnectionsPerShard=8";

/// The messages of a user, over the Mesa protocol.
pub const USER: &str = include_str!("../snippets/user.html");
/// The address in [`USER`].
pub const USER_ADDRESS: &str = "ws://localhost:3000/mesa";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snippets_contain_the_parts_that_are_replaced() {
        for (snippet, part) in [
            (ROOMS, ADDRESS),
            (ROOMS, ROOMS_OWN_LINE),
            (SHARD, ADDRESS),
            (SHARD, SHARD_PROJECT),
            (SHARD, SHARD_CAPACITY),
            (USER, USER_ADDRESS),
        ] {
            assert_eq!(snippet.matches(part).count(), 1, "{part}");
        }
    }
}
