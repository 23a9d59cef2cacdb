//! Commands that call the HTTP API.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};
use switchboard_dispatcher::SocketId;

use super::certificates::Certificates;
use super::lifetime::lifetime;
use super::recipients::Recipients;

/// How a command reaches the HTTP API, and the form of its output.
#[derive(Debug, ClapArgs)]
pub(crate) struct Api {
    /// Address of the HTTP API of a node.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "http://127.0.0.1:4001",
        env = "DISPATCH_URL",
        hide_env_values = true
    )]
    pub(crate) url: String,
    /// Key of the HTTP API [default: the variable DISPATCH_KEY, which other users of the machine cannot see].
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The project [default: the server's own].
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Print JSON: one line for each entry of a list, and one for any other answer.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

/// Commands with the names of the calls of the HTTP API.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiCommand {
    /// Send one event through the HTTP API: to users, rooms, tags, sockets or everyone.
    Send(SendEvent),
    /// Send a request to clients through the HTTP API, and print their replies as they arrive.
    Request(Request),
    /// Add sockets to a room.
    Join(RoomChange),
    /// Remove sockets from a room.
    Leave(RoomChange),
    /// Add a tag to sockets.
    Tag(TagChange),
    /// Remove a tag from sockets.
    Untag(TagChange),
    /// Execute calls of the HTTP API from a file.
    Batch(Batch),
    /// List the rooms with their numbers of sockets.
    Rooms(Rooms),
    /// Print the number of sockets in a room.
    Room(Room),
    /// List the sockets in a room.
    Members(Room),
    /// Print the messages that a room keeps.
    History(History),
    /// List the latest traced messages of all nodes, at most 100.
    Traces(Api),
    /// Print what became of a traced message, or whether a message would arrive and why not.
    Explain(Explain),
    /// List the users that are online.
    Users(Api),
    /// Print whether a user is online, and the user's sockets.
    User(User),
    /// List sockets: all of the project, or those of a user, room, tag or shard.
    Sockets(Sockets),
    /// Print whether a socket is connected, and its node.
    Socket(Socket),
    /// List the shards with their numbers of taken seats.
    Shards(Api),
    /// List the clients of a shard.
    Shard(Shard),
    /// List the stored messages of a user, or remove them.
    Inbox(Inbox),
    /// Revoke tokens: single ones, or all of a user.
    Revoke(Revoke),
    /// List the nodes of the cluster.
    Nodes(Api),
    /// Print a node and a project in numbers.
    Info(Api),
    /// List the keys of the HTTP API with their last use.
    Keys(Api),
    /// Read the settings of a running server again, and print which are in effect and which need a restart.
    Reload(Api),
}

/// Arguments of `send`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SendEvent {
    /// The event's name.
    pub(crate) event: String,
    /// The data as JSON; anything else is sent as a string.
    #[arg(default_value = "{}")]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) recipients: Recipients,
    /// Store the message for each user until it is acknowledged.
    #[arg(long, conflicts_with = "volatile")]
    pub(crate) inbox: bool,
    /// Drop the message for a receiver whose send queue is full, instead of disconnecting it.
    #[arg(long)]
    pub(crate) volatile: bool,
    /// Print the number of sockets that the recipients have on all nodes, too.
    #[arg(long)]
    pub(crate) count: bool,
    /// Record what becomes of the message, and print the id for `switchboard explain`.
    #[arg(long)]
    pub(crate) trace: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `request`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Request {
    /// The event's name.
    pub(crate) event: String,
    /// The data as JSON; anything else is sent as a string.
    #[arg(default_value = "{}")]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) recipients: Recipients,
    /// Longest time until the replies: a number and s, at most 25s.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = lifetime)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `join` and `leave`.
#[derive(Debug, ClapArgs)]
pub(crate) struct RoomChange {
    /// The room, with or without #.
    pub(crate) room: String,
    #[command(flatten)]
    pub(crate) recipients: Recipients,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `tag` and `untag`.
#[derive(Debug, ClapArgs)]
pub(crate) struct TagChange {
    /// The tag, with or without *.
    pub(crate) tag: String,
    #[command(flatten)]
    pub(crate) recipients: Recipients,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `batch`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The file has the body of POST /api/v1/batch, such as
{\"calls\": [{\"call\": \"send\", \"body\": {\"event\": \"news\", \"to\": {\"everyone\": true}}}]}
Prints one result in a line for each call. The exit status is 1 if a call failed.")]
pub(crate) struct Batch {
    /// The file; `-` is the standard input.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `rooms`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Rooms {
    /// Only rooms whose names begin with this, with or without #.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `room` and `members`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Room {
    /// The room, with or without #.
    pub(crate) room: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `user`.
#[derive(Debug, ClapArgs)]
pub(crate) struct User {
    /// The user's id.
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `sockets`.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("of").args(["user", "room", "tag", "shard"])))]
pub(crate) struct Sockets {
    /// Only sockets of this user.
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// Only sockets in this room.
    #[arg(long)]
    pub(crate) room: Option<String>,
    /// Only sockets with this tag.
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only sockets with a seat on this shard.
    #[arg(long)]
    pub(crate) shard: Option<String>,
    /// Only sockets of clients with this address.
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// Only sockets of this protocol: emit, koji or mesa.
    #[arg(long)]
    pub(crate) protocol: Option<String>,
    /// Print the protocol, the address and the user of each socket.
    #[arg(long)]
    pub(crate) details: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `socket`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Socket {
    /// The id.
    pub(crate) socket: SocketId,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `shard`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Shard {
    /// The shard.
    pub(crate) shard: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `inbox`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Inbox {
    /// The user's id.
    pub(crate) user: String,
    /// Remove all stored messages of the user.
    #[arg(long)]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `history`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Each line is the offset, the event and the data, separated by tabs.")]
pub(crate) struct History {
    /// The room, such as #lobby; the # may be omitted.
    pub(crate) room: String,
    /// Print the oldest messages after this offset.
    #[arg(long, value_name = "OFFSET", conflicts_with = "before")]
    pub(crate) after: Option<u64>,
    /// Print the latest messages before this offset.
    #[arg(long, value_name = "OFFSET")]
    pub(crate) before: Option<u64>,
    /// Most messages, up to 1,000.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `revoke`.
#[derive(Debug, ClapArgs)]
#[command(
    group(ArgGroup::new("revoked").required(true).multiple(true).args(["tokens", "users"])),
    after_help = "\
The tokens are refused from now on, and sockets that they have logged in are logged out, on all nodes.
Where the revocation is stored is printed: without Redis and without an inbox file, a restart of the server loses it."
)]
pub(crate) struct Revoke {
    /// The id of a token, its claim `jti`; may be repeated.
    #[arg(long = "jti", value_name = "ID")]
    pub(crate) tokens: Vec<String>,
    /// A user whose tokens are revoked; may be repeated.
    #[arg(long = "user", value_name = "ID")]
    pub(crate) users: Vec<String>,
    /// Tokens of the users that were issued from this time on stay valid, in seconds since 1970, as in the claim `iat`
    /// [default: now].
    #[arg(long, value_name = "SECONDS", requires = "users")]
    pub(crate) issued_before: Option<u64>,
    /// When the last of the tokens has expired, in seconds since 1970, as in the claim `exp`: the revocation is then
    /// forgotten [default: the server's limits.revocation_lifetime_ms from now on].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) expires: Option<u64>,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Arguments of `explain`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
With the id of a trace, which a send with `trace` returns, prints what became of the message at each node. With --to, prints
whether a message would arrive, and why not; nothing is sent.")]
#[command(group(ArgGroup::new("message").required(true).args(["trace", "to"])))]
pub(crate) struct Explain {
    /// The id of a trace.
    #[arg(value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// The recipients: user:ID, #ROOM, tag:NAME, shard:NAME, socket:ID or @everyone.
    #[arg(long, value_name = "RECIPIENTS")]
    pub(crate) to: Option<String>,
    /// The name of the event [default: message].
    #[arg(long, requires = "to", value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// The socket of the client that would send it [default: the server sends it].
    #[arg(long, requires = "to", value_name = "ID")]
    pub(crate) sender: Option<SocketId>,
    /// Describe the sockets of this user only, and whether they are among the recipients.
    #[arg(long, requires = "to", value_name = "ID")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) api: Api,
}
