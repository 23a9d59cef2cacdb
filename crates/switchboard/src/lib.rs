//! Write a real-time server like an HTTP app: handlers, middleware, rooms, tags, request and reply.
//!
//! ```no_run
//! use serde_json::{Value, json};
//! use switchboard::{App, Data, Reply, Socket, serve};
//!
//! async fn ping() -> Reply<Value> {
//!     Reply(json!({ "pong": true }))
//! }
//!
//! async fn say(socket: Socket, Data(text): Data<String>) -> Result<(), switchboard::ReplyError> {
//!     socket.join("#lobby")?;
//!     socket.to("#lobby").including_self().emit("said", &text)?;
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     serve(listener, App::new().on("/ping", ping).on("/say", say)).await
//! }
//! ```
//!
//! Every emit.gg client can talk to it. Frames of one connection are handled in the order they
//! came: a handler that does not wait has finished, with all it emitted queued, before the next
//! frame is looked at; one that waits holds nothing up.

mod api;
mod builder;
mod net;
mod node;
mod protocols;
mod routing;

pub use api::app::App;
pub use api::emitter::Emitter;
pub use api::setup::Setup;
pub use api::socket::Socket;
pub use net::accept::{Serve, serve};
pub use net::options::AcceptOptions;
pub use net::stop::Stopping;
pub use net::upgrade::UpgradeService;
pub use node::errors::{EmitError, NodeError, OrderError, QueryError, ReachError, RequestError};
pub use node::identity::{IdentifyError, Identity, Verdict, Verifier};
pub use node::info::Info;
pub use node::limits::Limits;
pub use protocols::endpoint::Endpoint;
pub use protocols::koji::options::{Koji, KojiSettings};
pub use protocols::koji::queries::ShardClient;
pub use protocols::koji::relay::Relay;
pub use protocols::koji::rules::ProjectRules;
pub use protocols::mesa::options::{Mesa, MesaSettings};
pub use routing::extract::{ConnectionInfo, Data, FromRequest, State, User};
pub use routing::handler::Handler;
pub use routing::middleware::{Both, Guarded, Middleware, Next};
pub use routing::plugin::{BoxPlugin, Plugin};
pub use routing::reply::{IntoResponse, Reply, ReplyError, Response};
pub use routing::request::Request;
pub use routing::router::Router;
pub use switchboard_backplane::{
    Backplane, Bus, ClientAction, ClientMessage, Content, Inbox, InboxLimits, InboxPage, LocalBus,
    MemoryStore, Page, Publication, PublishError, Receiver, ReplyAddress, Report, ReportId, ReportSink,
    ReportSinkChange, ReportSinkListener, SeatRequest, Seated, Shard, Store, StoreError, StoreFuture, Stored,
    StoredMessage,
};
pub use switchboard_event::{
    Audience, AudienceError, Event, IntoAudience, MessageNumber, Name, NameError, NodeId, Payload,
    PayloadError, ProjectId, Protocol, RoomName, ShardName, SocketId, TagName, Target, UserId,
};
pub use switchboard_hub::{Hub, Index, JoinError, Scope};
