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

mod app;
mod clock;
mod codec;
mod core;
mod door;
mod extract;
mod handler;
mod hooks;
mod identity;
mod inbox;
mod info;
mod koji;
mod limits;
mod mesa;
mod meters;
mod middleware;
mod net;
mod nodes;
mod peer;
mod plugin;
mod portal;
mod presence;
mod reach;
mod relay;
mod reply;
mod request;
mod router;
mod send;
mod served;
mod setup;
mod socket;
mod tasks;

pub use app::App;
pub use door::{Door, DoorSettings};
pub use extract::{ConnectionInfo, Data, FromRequest, State, User};
pub use handler::Handler;
pub use identity::{IdentifyError, Identity, Verdict, Verifier};
pub use inbox::KeepError;
pub use info::Info;
pub use koji::{Koji, ProjectRules, ShardClient};
pub use limits::Limits;
pub use mesa::{Mesa, MesaSettings};
pub use middleware::{Both, Guarded, Middleware, Next};
pub use net::serve::{Serve, Stopping, serve};
pub use nodes::NodeError;
pub use peer::RequestError;
pub use plugin::{BoxPlugin, Plugin};
pub use presence::QueryError;
pub use reach::{OrderError, ReachError};
pub use relay::Relay;
pub use reply::{IntoResponse, Reply, ReplyError, Response};
pub use request::Request;
pub use router::Router;
pub use send::{EmitError, Send};
pub use setup::Setup;
pub use socket::Socket;
pub use switchboard_event::{
    Audience, AudienceError, Dialect, Event, IntoAudience, MessageNumber, Name, NameError, NodeId, Payload,
    PayloadError, ProjectId, SocketId, Target, UserId,
};
pub use switchboard_hub::bus::{Content, Lost, Publication, Receiver};
pub use switchboard_hub::inbox::{Kept, Opened, Waiting};
pub use switchboard_hub::portal::{AnswerTo, OnChange, PortalChange, ReportId};
pub use switchboard_hub::store::{Answer, Page, StoreError};
pub use switchboard_hub::{
    Backplane, Bus, Deed, Hub, Inbox, InboxLimits, Index, JoinError, LocalBus, MemoryStore, Portal, Report,
    Said, Scope, SeatWish, Seated, Shard, Store,
};
