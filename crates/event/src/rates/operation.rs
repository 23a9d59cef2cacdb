//! Operations of clients other than events, by their names in rate rules.

/// An operation of a client other than an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatedOperation {
    /// A WebSocket frame of any kind: messages, fragments, pings, pongs.
    Frame,
    /// An event for which the client waits for a reply. It counts beside the event's own name.
    Request,
    /// Joining a room or taking a tag for a client.
    Join,
    /// Showing a token.
    Login,
    /// Changing the user info of a Koji client.
    UserInfo,
    /// A Koji client that connects and takes a seat on a shard.
    Placement,
    /// A plain HTTP request.
    Http,
}

impl RatedOperation {
    /// The number of operations.
    pub const COUNT: usize = 7;

    /// All operations, in the order of their [`index`](Self::index).
    pub const ALL: [RatedOperation; Self::COUNT] = [
        RatedOperation::Frame,
        RatedOperation::Request,
        RatedOperation::Join,
        RatedOperation::Login,
        RatedOperation::UserInfo,
        RatedOperation::Placement,
        RatedOperation::Http,
    ];

    /// The name in the field `events` of a rule.
    pub fn name(self) -> &'static str {
        match self {
            RatedOperation::Frame => "@frame",
            RatedOperation::Request => "@request",
            RatedOperation::Join => "@join",
            RatedOperation::Login => "@login",
            RatedOperation::UserInfo => "@user-info",
            RatedOperation::Placement => "@placement",
            RatedOperation::Http => "@http",
        }
    }

    /// The operation of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The place in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        self as usize
    }
}
