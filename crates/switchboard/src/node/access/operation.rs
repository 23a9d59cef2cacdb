//! The table of access control: which operation of a client needs which right, and on which protocols it exists.

use switchboard_event::{Protocol, Right};

/// An operation of a client that needs a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Join,
    Tag,
    Send,
    Store,
    Query,
    History,
    Seat,
    AutomaticSeat,
    Relay,
    UserInfo,
    MemberList,
    ListShards,
}

/// A row of the table.
pub(crate) struct Row {
    #[cfg_attr(not(test), expect(dead_code, reason = "for the generated table"))]
    pub(crate) operation: Operation,
    /// The value of the label of metrics.
    pub(crate) label: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the generated table"))]
    pub(crate) protocols: &'static [Protocol],
    pub(crate) right: Right,
    /// The resource, as the text of a pattern.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the generated table"))]
    pub(crate) on: &'static str,
    /// The operation in words.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the generated table"))]
    pub(crate) meaning: &'static str,
}

use Protocol::{Emit, Koji, Mesa};

/// The table. A protocol's own operations come after those that handlers do for clients of every protocol.
pub(crate) const TABLE: [Row; 12] = [
    Row {
        operation: Operation::Join,
        label: "join",
        protocols: &[Emit, Koji, Mesa],
        right: Right::Join,
        on: "#room",
        meaning: "join a room: `/join`, `Socket::join_as_client`",
    },
    Row {
        operation: Operation::Tag,
        label: "tag",
        protocols: &[Emit, Koji, Mesa],
        right: Right::Join,
        on: "tag:name",
        meaning: "take a tag: `Socket::tag_as_client`",
    },
    Row {
        operation: Operation::Send,
        label: "send",
        protocols: &[Emit, Koji, Mesa],
        right: Right::Send,
        on: "each recipient: #room, user:id, tag:name, socket:id, @everyone",
        meaning: "send: `/message`, `Emitter::as_client` with `emit`",
    },
    Row {
        operation: Operation::Store,
        label: "store",
        protocols: &[Emit, Koji, Mesa],
        right: Right::Send,
        on: "user:id of each recipient",
        meaning: "send and store for offline users: `Emitter::as_client` with `dispatch`",
    },
    Row {
        operation: Operation::Query,
        label: "query",
        protocols: &[Emit, Koji, Mesa],
        right: Right::Presence,
        on: "what the query is about",
        meaning: "query who is connected: `Socket::require`",
    },
    Row {
        operation: Operation::History,
        label: "history",
        protocols: &[Emit, Koji, Mesa],
        right: Right::History,
        on: "#room; shard:name for a Koji client",
        meaning: "read the history of a room: `@history`, `Socket::history_as_client`, `Socket::require`",
    },
    Row {
        operation: Operation::Seat,
        label: "seat",
        protocols: &[Koji],
        right: Right::Join,
        on: "shard:name",
        meaning: "connect to a shard by name",
    },
    Row {
        operation: Operation::AutomaticSeat,
        label: "automatic_seat",
        protocols: &[Koji],
        right: Right::Join,
        on: "shard:shard-*, or a shorter prefix",
        meaning: "connect to a shard that the server chooses",
    },
    Row {
        operation: Operation::Relay,
        label: "relay",
        protocols: &[Koji],
        right: Right::Send,
        on: "shard:name of the own shard; user:id of each recipient; for an id of a client also the own shard or socket:id",
        meaning: "send an event that is relayed",
    },
    Row {
        operation: Operation::UserInfo,
        label: "user_info",
        protocols: &[Koji],
        right: Right::Send,
        on: "shard:name of the own shard",
        meaning: "set the user info: `SET_USER_INFO`",
    },
    Row {
        operation: Operation::MemberList,
        label: "member_list",
        protocols: &[Koji],
        right: Right::Presence,
        on: "shard:name of the own shard",
        meaning: "receive the member list, also by `GET_CONNECTED_CLIENTS`",
    },
    Row {
        operation: Operation::ListShards,
        label: "list_shards",
        protocols: &[Koji],
        right: Right::Presence,
        on: "shard:name of each shard, by the rule alone",
        meaning: "list the shards: `GET /info/<projectId>`, which shows no token",
    },
];

impl Operation {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The right that it needs.
    pub(crate) fn right(self) -> Right {
        self.row().right
    }

    /// The value of the label of metrics.
    pub(crate) fn label(self) -> &'static str {
        self.row().label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_its_row() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.operation as usize, place, "{}", row.label);
        }
    }

    #[test]
    fn the_generated_table_of_rights_is_current() {
        let mut text = "<!-- Generated from the table of access control by a test; see CONTRIBUTING.md. Do not edit. -->\n\n\
                        # Rights\n\n\
                        Which operation of a client needs which right. A refused operation counts in \
                        `switchboard_forbidden_total` with its label. The [guide](../guides/authentication.md#rights) \
                        explains patterns, claims and rules.\n\n\
                        | operation | protocols | right | on | label |\n|---|---|---|---|---|\n"
            .to_owned();
        for Row { label, protocols, right, on, meaning, .. } in &TABLE {
            let protocols: Vec<&str> = protocols.iter().map(|protocol| protocol.name()).collect();
            text += &format!(
                "| {meaning} | {} | `{}` {right} | {on} | `{label}` |\n",
                protocols.join(", "),
                right.letter()
            );
        }
        text += "\nNo right is needed to connect with the emit or Mesa protocol, to show a token, to leave, to receive what \
                 is sent to the own user, and to send an event to a handler: what a handler does by itself is not checked.\n";
        switchboard_testkit::generated::assert_current("docs/reference/rights.md", &text);
    }
}
