//! Coming onto a shard, being there, and leaving it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use serde::Serialize;
use switchboard_event::{Name, Payload, PayloadError, ProjectId, SocketId, Target};
use switchboard_hub::store::StoreError;
use switchboard_hub::{SeatWish, Seated, Shard, Store};
use switchboard_wire::koji;
use switchboard_ws::frame::{OpCode, encode_with};

use super::frames::Tokens;
use super::{ProjectRules, Ticket};
use crate::app::App;
use crate::clock::now_ms;
use crate::presence::QueryError;
use crate::socket::Socket;

/// What the door keeps with a client.
pub(crate) struct Client {
    pub(crate) shard: Name,
    pub(crate) rules: Arc<ProjectRules>,
    /// It wants to be told what changes in the list, not the list.
    pub(crate) changes: bool,
    info: Mutex<Payload>,
    heard_ms: AtomicU64,
    tokens: Mutex<Tokens>,
}

impl Client {
    pub(crate) fn new(ticket: &Ticket, seat: &Seat) -> Self {
        Client {
            shard: seat.shard.clone(),
            rules: ticket.rules.clone(),
            changes: ticket.changes,
            info: Mutex::new(Payload::EMPTY),
            heard_ms: AtomicU64::new(now_ms()),
            tokens: Mutex::default(),
        }
    }

    /// Something came from it.
    pub(crate) fn heard(&self) {
        self.heard_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn set_info(&self, socket: &Socket, info: Payload) {
        *self.info.lock().expect("no code that holds an info panics") = info;
        socket.app().core().rosters.updated(socket.app(), socket.session());
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("no code that holds the tokens panics")
    }

    /// How it stands in a list.
    pub(crate) fn entry(&self, id: SocketId) -> koji::Client {
        koji::Client {
            id,
            user_info: self.info.lock().expect("no code that holds an info panics").clone(),
            last_ping_ms: self.heard_ms.load(Ordering::Relaxed),
        }
    }
}

/// A seat that was taken; given back when dropped, whatever happened.
pub(crate) struct Seat {
    store: Arc<dyn Store>,
    project: ProjectId,
    shard: Name,
    socket: SocketId,
}

impl Seat {
    /// What its taker is told first.
    pub(crate) fn greeting(&self) -> Bytes {
        let Seat { shard, socket, .. } = self;
        encode_with(OpCode::Text, 128 + shard.len(), |out| koji::write_connected(out, *socket, shard))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.store.leave_seat(&self.project, &self.shard, self.socket);
    }
}

/// A client's place on its shard; it leaves when this is dropped.
pub(crate) struct Place {
    app: App,
    seat: Seat,
}

impl Place {
    /// Brings a client that the hub knows by now into the shard's room and onto its list.
    pub(crate) fn new(socket: &Socket, seat: Seat) -> Self {
        let app = socket.app();
        // It can have closed already; then it leaves the list as soon as it came.
        let _ = app.hub().join(socket.session(), &Target::shard(&seat.shard));
        app.core().rosters.joined(app, &seat.shard, socket.session());
        Place { app: app.clone(), seat }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Seat { project, shard, socket, .. } = &self.seat;
        self.app.core().rosters.left(&self.app, project, shard, *socket);
    }
}

/// Why there is no place for a client; it is closed with 1013, which makes it come again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("the project has its most clients")]
    Full,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a seat for a socket that is about to be.
pub(crate) async fn take_seat(app: &App, ticket: &Ticket, socket: SocketId) -> Result<Seat, NoPlace> {
    let wish = SeatWish {
        socket,
        shard: ticket.shard.clone(),
        capacity: ticket.capacity,
        overflow: ticket.rules.named_overflow,
        project_max: ticket.rules.connections_max,
    };
    let store = app.hub().store().clone();
    match store.take_seat(&ticket.project, wish).await? {
        Seated::In(shard) => Ok(Seat { store, project: ticket.project.clone(), shard, socket }),
        Seated::Full => Err(NoPlace::Full),
    }
}

/// A client as [`App::shard_clients`] lists it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ShardClient {
    /// Its socket.
    pub client_id: SocketId,
    /// What it said of itself.
    pub user_info: Payload,
    /// When it was last heard, in milliseconds since 1970.
    pub last_ping: u64,
}

impl App {
    /// The shards of the project and how many clients are on each, largest first, then by name.
    pub async fn shards(&self) -> Result<Vec<Shard>, QueryError> {
        let mut shards = self.hub().store().shards(self.project_id()).await?;
        shards.sort_by(|a, b| b.seated.cmp(&a.seated).then_with(|| a.name.cmp(&b.name)));
        Ok(shards)
    }

    /// The clients on a shard, in the order they came.
    pub async fn shard_clients(&self, shard: &str) -> Result<Vec<ShardClient>, QueryError> {
        let clients = self.core().rosters.list(self.project_id(), &Name::new(shard)?);
        let client = |koji::Client { id, user_info, last_ping_ms }| ShardClient {
            client_id: id,
            user_info,
            last_ping: last_ping_ms,
        };
        Ok(clients.into_iter().map(client).collect())
    }
}

impl Socket {
    /// The shard it is on; `None` for sockets that did not come through the Koji door.
    pub fn shard(&self) -> Option<&Name> {
        self.peer().koji().map(|client| &client.shard)
    }

    /// What a Koji client said of itself, an object; `None` for other sockets.
    pub fn user_info(&self) -> Option<Payload> {
        self.peer().koji().map(|client| client.entry(self.id()).user_info)
    }

    /// Says of a Koji client what the others of its shard shall know, in place of what was said
    /// before. False for other sockets, and for what is no object.
    pub fn set_user_info<T: Serialize + ?Sized>(&self, info: &T) -> Result<bool, PayloadError> {
        let info = Payload::of(info)?;
        let client = self.peer().koji().filter(|_| info.as_bytes().starts_with(b"{"));
        Ok(client.map(|client| client.set_info(self, info)).is_some())
    }
}
