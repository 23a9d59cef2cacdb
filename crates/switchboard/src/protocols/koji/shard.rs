//! Coming onto a shard, being there, and leaving it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use serde::Serialize;
use switchboard_backplane::{SeatRequest, Seated, Shard, Store, StoreError};
use switchboard_event::{Name, Payload, PayloadError, ProjectId, SocketId, Target};
use switchboard_wire::koji;
use switchboard_ws::frame::{OpCode, encode_with};

use super::described::{Described, in_order};
use super::frames::Tokens;
use super::{ProjectRules, Ticket};
use crate::api::app::App;
use crate::api::presence::QueryError;
use crate::api::socket::Socket;
use crate::node::clock::{now_ms, now_us};

/// What the door keeps with a client.
pub(crate) struct Client {
    pub(crate) shard: Name,
    pub(crate) rules: Arc<ProjectRules>,
    /// It wants to be told what changes in the list, not the list.
    pub(crate) changes: bool,
    since_us: u64,
    about: Mutex<About>,
    heard_ms: AtomicU64,
    tokens: Mutex<Tokens>,
}

/// What is told of a client, and whether it is.
struct About {
    info: Payload,
    /// It is on its shard, so other nodes may know of it.
    there: bool,
}

impl Client {
    pub(crate) fn new(ticket: &Ticket, seat: &Seat) -> Self {
        let Described { since_us, client } = &seat.arrival;
        Client {
            shard: seat.shard.clone(),
            rules: ticket.rules.clone(),
            changes: ticket.changes,
            since_us: *since_us,
            about: Mutex::new(About { info: client.user_info.clone(), there: false }),
            heard_ms: AtomicU64::new(client.last_ping_ms),
            tokens: Mutex::default(),
        }
    }

    /// Something came from it.
    pub(crate) fn heard(&self) {
        self.heard_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn set_info(&self, socket: &Socket, info: Payload) {
        self.change(socket, |about| about.info = info);
        socket.app().core().rosters.updated(socket.app(), socket.session());
    }

    /// Changes what is told of it, and tells other nodes.
    fn change(&self, socket: &Socket, change: impl FnOnce(&mut About)) {
        let mut about = self.about();
        change(&mut about);
        if about.there && socket.app().shares_store() {
            // Under the lock, so that what is said last is what is known, and nothing of who has left.
            let description = self.described(socket.id(), &about).write();
            let app = socket.app();
            app.hub().store().describe(app.project_id(), &self.shard, socket.id(), description);
        }
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().expect("no code that holds what is told of a client panics")
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("no code that holds the tokens panics")
    }

    /// How it stands in a list.
    pub(crate) fn entry(&self, id: SocketId) -> Described {
        self.described(id, &self.about())
    }

    fn described(&self, id: SocketId, about: &About) -> Described {
        let (user_info, last_ping_ms) = (about.info.clone(), self.heard_ms.load(Ordering::Relaxed));
        Described { since_us: self.since_us, client: koji::Client { id, user_info, last_ping_ms } }
    }
}

/// A seat that was taken; given back when dropped, whatever happened.
pub(crate) struct Seat {
    store: Arc<dyn Store>,
    project: ProjectId,
    shard: Name,
    /// How its taker stood in a list when it asked.
    arrival: Described,
}

impl Seat {
    /// What its taker is told first.
    pub(crate) fn greeting(&self) -> Bytes {
        let (shard, socket) = (&self.shard, self.arrival.client.id);
        encode_with(OpCode::Text, 128 + shard.len(), |out| koji::write_connected(out, socket, shard))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.store.leave_seat(&self.project, &self.shard, self.arrival.client.id);
    }
}

/// A client's place on its shard; it leaves when this is dropped.
pub(crate) struct Place {
    socket: Socket,
    /// None only while it is being dropped.
    seat: Option<Seat>,
}

impl Place {
    /// Brings a client that the hub knows by now into the shard's room and onto its list.
    pub(crate) fn new(socket: &Socket, seat: Seat) -> Self {
        let app = socket.app();
        // It can have closed already; then it leaves the list as soon as it came.
        let _ = app.hub().join(socket.session(), &Target::shard(&seat.shard));
        let place = Place { socket: socket.clone(), seat: Some(seat) };
        place.client().change(socket, |about| about.there = true);
        app.core().rosters.joined(app, &place.client().shard, socket.session());
        place
    }

    fn client(&self) -> &Client {
        self.socket.peer().koji().expect("who has a seat came through this door")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let app = self.socket.app();
        // What is known of it is forgotten with its seat, and who hears that it left finds the seat free.
        self.client().change(&self.socket, |about| about.there = false);
        drop(self.seat.take());
        app.core().rosters.left(app, &self.client().shard, self.socket.id());
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
    let client = koji::Client { id: socket, user_info: Payload::EMPTY, last_ping_ms: now_ms() };
    let arrival = Described { since_us: now_us(), client };
    let wish = SeatRequest {
        socket,
        shard: ticket.shard.clone(),
        capacity: ticket.capacity,
        overflow: ticket.rules.named_overflow,
        project_max: ticket.rules.connections_max,
        description: app.shares_store().then(|| arrival.write()),
    };
    let store = app.hub().store().clone();
    match store.take_seat(&ticket.project, wish).await? {
        Seated::In(shard) => Ok(Seat { store, project: ticket.project.clone(), shard, arrival }),
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
    /// The shards of the project and how many clients of all nodes are on each, largest first, then by
    /// name.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let app = switchboard::App::new();
    /// if let Some(largest) = app.shards().await?.first() {
    ///     println!("{} with {} clients", largest.name, largest.seated);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn shards(&self) -> Result<Vec<Shard>, QueryError> {
        let mut shards = self.hub().store().shards(self.project_id()).await?;
        shards.sort_by(|a, b| b.seated.cmp(&a.seated).then_with(|| a.name.cmp(&b.name)));
        Ok(shards)
    }

    /// The clients on a shard, of all nodes, in the order they came. When one of another node was last
    /// heard is as of when it came, or last said something of itself.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let app = switchboard::App::new();
    /// for client in app.shard_clients("lobby").await? {
    ///     println!("{}: {:?}", client.client_id, client.user_info);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn shard_clients(&self, shard: &str) -> Result<Vec<ShardClient>, QueryError> {
        let shard = Name::new(shard)?;
        let elsewhere = match self.shares_store() {
            true => self.hub().store().descriptions(self.project_id(), &shard).await?,
            false => Vec::new(),
        };
        let here = self.core().rosters.list(self.project_id(), &shard);
        let elsewhere = elsewhere.iter().filter_map(|(id, description)| Described::read(*id, description));
        let client = |koji::Client { id, user_info, last_ping_ms }| ShardClient {
            client_id: id,
            user_info,
            last_ping: last_ping_ms,
        };
        Ok(in_order(here, elsewhere).into_iter().map(client).collect())
    }
}

impl Socket {
    /// The shard it is on; `None` for sockets that did not come through the Koji door.
    pub fn shard(&self) -> Option<&Name> {
        self.peer().koji().map(|client| &client.shard)
    }

    /// What a Koji client said of itself, an object; `None` for other sockets.
    pub fn user_info(&self) -> Option<Payload> {
        self.peer().koji().map(|client| client.about().info.clone())
    }

    /// Says of a Koji client what the others of its shard shall know, in place of what was said
    /// before. False for other sockets, and for what is no object.
    pub fn set_user_info<T: Serialize + ?Sized>(&self, info: &T) -> Result<bool, PayloadError> {
        let info = Payload::of(info)?;
        let client = self.peer().koji().filter(|_| info.as_bytes().starts_with(b"{"));
        Ok(client.map(|client| client.set_info(self, info)).is_some())
    }
}
