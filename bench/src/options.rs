//! The command line.

use crate::protocol::Protocol;

/// Loads a real-time server and reports the cost to the server.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "switchboard-bench", version)]
pub(crate) struct Options {
    /// The load.
    #[arg(value_enum)]
    pub(crate) scenario: Scenario,
    /// The server's address, such as 127.0.0.1:3000. With several nodes, all addresses separated by commas;
    /// connections are spread evenly over the nodes.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_delimiter = ',')]
    pub(crate) server: Vec<std::net::SocketAddr>,
    /// One more node, with one connection that is in no room. Its cost is reported separately.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) other: Option<std::net::SocketAddr>,
    /// Connect the sender to the other node.
    #[arg(long, requires = "other")]
    pub(crate) from_other: bool,
    /// The Redis between the nodes, which must have no other clients. Its work is reported too.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) redis: Option<std::net::SocketAddr>,
    /// The protocol of the connections.
    #[arg(long, value_enum, default_value_t = Protocol::Emit)]
    pub(crate) protocol: Protocol,
    /// Connect with TLS, and accept any certificate. Each handshake is a full one.
    #[arg(long)]
    pub(crate) tls: bool,
    /// With --tls, resume sessions, as a client does that connects again.
    #[arg(long, requires = "tls")]
    pub(crate) resume: bool,
    /// The process id of the server, or several, such as those of a server and of a proxy in front, separated by commas.
    /// Default: the process that listens on the port.
    #[arg(long, value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    /// Receivers or connections; each scenario has its own default.
    #[arg(long)]
    pub(crate) connections: Option<usize>,
    /// Messages, or changes, per second; each scenario has its own default.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Messages in flight at the same time.
    #[arg(long, default_value_t = 8)]
    pub(crate) window: usize,
    /// Bytes of a message's data.
    #[arg(long, default_value_t = 128)]
    pub(crate) bytes: usize,
    /// Other rooms that exist during the measurement.
    #[arg(long, default_value_t = 0)]
    pub(crate) rooms: usize,
    /// Idle connections outside the measured room.
    #[arg(long, default_value_t = 0)]
    pub(crate) outside: usize,
    /// `rooms`: connect all members of a room to the same node.
    #[arg(long)]
    pub(crate) together: bool,
    /// Koji: clients receive changes of their shard's member list in place of whole lists.
    #[arg(long)]
    pub(crate) changes: bool,
    /// `dispatch`: the command of the dispatcher, with its arguments. It reads the data of one message per line and
    /// sends each to all users.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) dispatcher: Option<String>,
    /// `dispatch`: a file with one token per line, each for a different user. Connections log in with them.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<std::path::PathBuf>,
    /// `dispatch`: keep `--window` messages in flight instead of sending at a rate.
    #[arg(long)]
    pub(crate) closed: bool,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The load on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// One client sends at a fixed rate to a room.
    FanOut,
    /// One client keeps a window of messages to a room in flight.
    FanOutClosed,
    /// Every connection sends its next request as soon as it has the reply.
    Echo,
    /// Connections without traffic.
    Idle,
    /// Connect, finish the handshake, close.
    Churn,
    /// One client sends requests during a fan-out without pause.
    Fairness,
    /// Many clients connect and stay. Koji clients get automatic shards.
    Joins,
    /// One Koji client changes its user info again and again.
    MemberLists,
    /// Many small rooms with one sender each.
    Rooms,
    /// Clients connect, join a room, leave it and close, one at a time. Reports the work of Redis per step.
    StepCosts,
    /// A dispatcher process sends to many users with one connection each.
    Dispatch,
    /// Publish and subscribe through Redis alone, without a server.
    RedisAlone,
}
