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
mod net;
mod node;
mod protocols;
mod routing;

pub use api::app::App;
pub use api::emitter::{Emitter, Sent};
pub use api::request_all::{RequestAllError, SocketReply};
pub use api::revoke::{Revoke, RevokeError, Revoked};
pub use api::setup::Setup;
pub use api::socket::Socket;
pub use net::accept::{Serve, serve};
pub use net::forwarded::ForwardedHeader;
pub use net::http_client::HttpClient;
pub use net::options::AcceptOptions;
pub use net::origin::{Origin, OriginError};
pub use net::serve_http::{ServeHttp, serve_http};
pub use net::stop::Stopping;
pub use net::tls::{Tls, TlsError};
pub use net::upgrade::UpgradeService;
pub use net::worker_threads::WorkerThreads;
pub use node::access::rule::{AccessRequest, AccessRule};
pub use node::connect_gate::{Admitted, ConnectFuture, ConnectGate, ConnectRefusal, ConnectingClient};
pub use node::connection_info::ConnectionInfo;
pub use node::errors::{
    CommandError, EmitError, Forbidden, MembershipError, NodeError, QueryError, RateLimited, RequestError,
};
pub use node::history::HistoryError;
pub use node::limit;
pub use node::limits::Limits;
pub use node::request_cost::RequestCost;
pub use node::resume::options::Resuming;
pub use node::resume::session_state::RememberError;
pub use node::verifier::{IdentifyError, Identity, Verifier, VerifyFuture};
pub use protocols::endpoint::Endpoint;
pub use protocols::koji::options::{Koji, KojiSettings};
pub use protocols::koji::queries::ShardClient;
pub use protocols::koji::relay::Relay;
pub use protocols::koji::rules::ProjectRules;
pub use protocols::koji::user_info::UserInfoError;
pub use protocols::mesa::options::{Mesa, MesaSettings};
pub use routing::extract::{AsyncFromRequest, Data, FromRequest, State, User};
pub use routing::handler::Handler;
pub use routing::middleware::{Middleware, Next};
pub use routing::plugin::{BoxPlugin, Plugin};
pub use routing::reply::{IntoResponse, NoReply, Reply, ReplyError, Response};
pub use routing::request::Request;
pub use routing::router::Router;
pub use switchboard_backplane::{
    Appended, Backplane, BackplaneError, BackplaneFuture, Bus, ClientAction, ClientMessage, Content, History,
    HistoryLimits, HistoryPage, HistoryRange, HistoryRule, HistoryUsage, IfUnreached, Inbox, InboxLimits,
    InboxPage, LocalBus, MemoryHistory, MemoryHistoryLimits, MemoryRateStore, MemoryStore, NodeLease, Page,
    Publication, PublishError, RateStore, Receiver, RecordedMessage, ReplyAddress, Report, ReportId,
    ReportSink, Revocation, RevocationStore, RevokedTokens, RoomMessage, RoomPatternError, SeatRequest,
    Seated, Shard, Spending, Store, Stored, StoredMessage, WorkerChange, WorkerListener,
};
pub use switchboard_event::{
    Audience, AudienceError, Epoch, Event, IntoAudience, MessageNumber, Name, NameError, NodeId, Payload,
    PayloadError, Position, ProjectId, Protocol, Rate, RateAction, RateKey, RateRule, RateRuleError,
    Resource, Right, Rights, RightsError, RoomName, ShardName, SocketId, TagName, Target, TokenId, UserId,
};
pub use switchboard_hub::{Hub, HubStats, Index, JoinError, Scope};
pub use switchboard_macros::{debug_handler, debug_middleware};

/// What the attributes [`macro@debug_handler`] and [`macro@debug_middleware`] refer to.
#[doc(hidden)]
pub mod __private {
    pub use crate::routing::argument::{Argument, Ready, Waiting};
    pub use crate::routing::debug::*;
}
