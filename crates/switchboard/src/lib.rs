//! A framework for real-time servers over WebSockets, with the handlers, extractors and middleware of an
//! HTTP framework, and with rooms, tags, requests and replies.
//!
//! ```no_run
//! use serde_json::{Value, json};
//! use switchboard::{App, Data, Reply, Socket, serve};
//!
//! async fn ping() -> Reply<Value> {
//!     Reply(json!({ "pong": true }))
//! }
//!
//! async fn send_message(socket: Socket, Data(text): Data<String>) -> Result<(), switchboard::ReplyError> {
//!     socket.join("#lobby")?;
//!     socket.to("#lobby").including_self().emit("message", &text)?;
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     serve(listener, App::new().on("/ping", ping).on("/message", send_message)).await
//! }
//! ```
//!
//! Clients of emit.gg can connect to this server. The frames of one connection are handled in the order
//! in which they arrive. A handler that never waits finishes, with everything it emitted queued, before
//! the next frame is decoded. A handler that waits does not delay later frames.
//!
//! The root has what an application uses every day: [`App`], [`Router`], [`Socket`], extractors, replies, audiences,
//! names, errors, [`Limits`]. The modules have the rest, by subject:
//!
//! | module | contents |
//! |---|---|
//! | [`access`] | rights, access rules, verifiers of tokens, connect gates, revocations |
//! | [`net`] | options for accepting connections, TLS, origins, proxies, worker threads; the service for other servers |
//! | [`protocols`] | settings of the Koji and Mesa protocols |
//! | [`rates`] | rate rules, and the cost of requests |
//! | [`backplane`] | the traits behind which nodes share state, and their implementations for one process |
//! | [`hub`] | sessions and member sets of one node |
//! | [`trace`] | the recorded path of single messages |
//! | [`limit`] | the form of limits in settings, for `serde` |

// The layers of the crate, from the top down. A file imports files of its own layer and of lower
// layers, and no two files import each other.
//
//   builder     builds an app: makes the node and connects the layers to it
//   net         bytes: accept, upgrade, connection, flusher, heartbeat, stop
//   protocols   one folder per protocol: admit, receive, encode, keep-alive
//   routing     finds the handler of an event and turns its outcome into a reply; hooks
//   api         the handles: App, Socket, Emitter
//   node        state of a running server and of each connection: inbox, identity, remote calls, reports
//
// A lower layer calls a higher one only through values that the higher layer passes to it:
// `node::Wiring` (frame encoders, scheduler, handler of hub events, extensions),
// `node::system_events::HookSink` (hooks), and the protocol's state in a `node::connection_state::ConnectionState`.
mod api;
mod builder;
pub mod net;
mod node;
pub mod protocols;
mod routing;

/// Access control: the rights of clients, the rules of an application, the check of tokens and of connections, and
/// revocations. [`Identity`] and [`Forbidden`] are at the root.
pub mod access {
    pub use switchboard_event::{Resource, Right, Rights, RightsError, TokenId};

    pub use crate::api::revoke::{Revoke, RevokeError, Revoked};
    pub use crate::node::access::rule::{AccessRequest, AccessRule};
    pub use crate::node::connect_gate::{
        Admitted, ConnectFuture, ConnectGate, ConnectRefusal, ConnectingClient,
    };
    pub use crate::node::verifier::{Verifier, VerifyFuture};
}

/// The traits behind which nodes share state, their types, and the implementations for a single process. Applications
/// with several nodes pass a backplane to [`App::with_backplane`]; the crate `switchboard-redis` has one.
pub mod backplane {
    pub use switchboard_backplane::{
        AppendOutcome, Backplane, BackplaneError, BackplaneFuture, BoxFuture, Bus, ClientAction,
        ClientMessage, Content, History, HistoryRule, HistoryUsage, IfUnreached, Inbox, InboxLimits,
        InboxPage, LocalBus, MemoryHistory, MemoryHistoryLimits, MemoryRateStore, MemoryStore, NodeLease,
        OnCounted, Publication, PublishError, RateStore, Receiver, ReplyAddress, Report, ReportId,
        ReportSink, Revocation, RevocationStore, RevokedTokens, RoomMessage, RoomPatternError, RoomRule,
        SeatRequest, Seated, Shard, Spending, Store, StoredMessage, WorkerChange, WorkerListener,
    };
    pub use switchboard_event::{Event, MessageNumber, NodeId};
}

/// The sessions and member sets of one node, for [`App::hub`].
pub mod hub {
    pub use switchboard_hub::{Hub, HubStats, Index, Scope};
}

/// The recorded path of single messages, for [`App::trace`].
pub mod trace {
    pub use switchboard_event::{TraceId, TraceIdError};

    pub use crate::node::dry_run::collect::ExplainError;
    pub use crate::node::dry_run::view::{Explanation, NodeView, Planned, Prospect, SenderView, SocketView};
    pub use crate::node::trace::options::Tracing;
    pub use crate::node::trace::record::{
        Described, NodeTrace, Outcome, RecentTrace, RecentTraces, Recipient, TimedStep, Totals, Trace,
        TraceStep,
    };
}

/// How often clients may send events: the rules for [`App::with_rate_rules`].
pub mod rates {
    pub use switchboard_event::{Rate, RateAction, RateKey, RateRule, RateRuleError};

    pub use crate::node::request_cost::RequestCost;
}

pub use api::app::App;
pub use api::emitter::{Emitter, Sent};
pub use api::request_all::{RequestAllError, SocketReply};
pub use api::setup::Setup;
pub use api::socket::Socket;
pub use net::accept::serve;
pub use net::drain::DrainStatus;
pub use net::serve_http::serve_http;
pub use net::stop::Stopping;
pub use node::connection_info::ConnectionInfo;
pub use node::errors::{
    CommandError, EmitError, Forbidden, MembershipError, NodeError, QueryError, RateLimited, RequestError,
};
pub use node::history::HistoryError;
pub use node::limit;
pub use node::limits::Limits;
pub use node::resume::options::Resuming;
pub use node::resume::session_state::RememberError;
pub use node::socket_details::{DescribedSockets, SocketDetails};
pub use node::verifier::{IdentifyError, Identity};
pub use protocols::koji::options::Koji;
pub use protocols::koji::relay::Relay;
pub use protocols::mesa::options::Mesa;
pub use routing::extract::{AsyncFromRequest, Data, FromRequest, State, User};
pub use routing::handler::Handler;
pub use routing::middleware::{Middleware, Next};
pub use routing::plugin::{BoxPlugin, Plugin};
pub use routing::reply::{IntoResponse, NoReply, Reply, ReplyError, Response};
pub use routing::request::Request;
pub use routing::router::Router;
pub use switchboard_backplane::{HistoryLimits, HistoryPage, HistoryRange, Page, RecordedMessage, Stored};
pub use switchboard_event::{
    Audience, AudienceError, Epoch, IntoAudience, LatestKey, Name, NameError, OverflowPolicy, Payload,
    PayloadError, Position, ProjectId, Protocol, RoomName, ShardName, SocketId, TagName, Target, UserId,
};
pub use switchboard_hub::JoinError;
pub use switchboard_macros::{debug_handler, debug_middleware};

/// What the attributes [`macro@debug_handler`] and [`macro@debug_middleware`] refer to.
#[doc(hidden)]
pub mod __private {
    pub use crate::routing::argument::{Argument, Ready, Waiting};
    pub use crate::routing::debug::*;
}
