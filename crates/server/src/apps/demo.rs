//! The demo: chat, rooms, middleware, namespaces and presence, one handler for each feature.
//!
//! Data is forwarded as it was received: numbers keep their digits, and what a client left out stays absent. What is done
//! for a client needs the client's rights.

use std::panic::resume_unwind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};
use switchboard::access::{Resource, Right};
use switchboard::{
    App, Audience, ConnectionInfo, IntoResponse, Middleware, Next, NoReply, Payload, Reply, ReplyError,
    Request, Response, Router, Socket, SocketId, Target, UserId,
};

use super::fields::{optional_text, text};

/// Longest delay of `/slow`.
const SLOW_MAX: Duration = Duration::from_secs(30);

/// Longest `username`, in bytes: the server stores it, and `/who` repeats it for each member of a room.
const USERNAME_BYTES_MAX: usize = 256;

/// Maximum number of members that `/who` lists.
const LISTED_MAX: usize = 1000;

type Outcome = Result<Reply<Value>, ReplyError>;

/// Adds the demo to an app.
pub(crate) fn install(app: App) -> App {
    app.on("@connection", login_by_query)
        .on("@disconnect", announce_disconnect)
        .on("/ping", ping)
        .on("/echo", echo)
        .on("/whoami", whoami)
        .on("/slow", slow)
        .on("/throw", throw)
        .on("/ask", ask)
        .merge(chat())
        .merge(presence())
        .ns("/game", |game| game.ns("/lobby", |lobby| lobby.on("/join", join_game)))
}

async fn ping() -> Reply<Value> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Reply(json!({ "pong": true, "time": since_epoch.as_millis() as u64 }))
}

#[derive(Serialize)]
struct Echo {
    data: Payload,
}

async fn echo(data: Payload) -> Reply<Echo> {
    Reply(Echo { data })
}

async fn whoami(socket: Socket, info: ConnectionInfo) -> Reply<Value> {
    Reply(json!({ "id": socket.id(), "query": info.query_json(), "path": info.path() }))
}

#[derive(Serialize)]
struct Slow {
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<Payload>,
}

async fn slow(data: Payload) -> Reply<Slow> {
    let slow = data.member("ms");
    let ms: f64 = slow.as_ref().and_then(|ms| ms.to().ok()).unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(ms.max(0.0) as u64).min(SLOW_MAX)).await;
    Reply(Slow { slow })
}

/// Panics without the panic hook: anybody may send this event, and a backtrace takes milliseconds.
async fn throw() {
    resume_unwind(Box::new("thrown on purpose"));
}

#[derive(Serialize)]
struct Answer {
    answer: Payload,
}

async fn ask(socket: Socket, data: Payload) -> Result<Reply<Answer>, ReplyError> {
    Ok(Reply(Answer { answer: socket.request("/client/ask", &data).await? }))
}

async fn join_game() -> Reply<Value> {
    Reply(json!({ "ns": "/game/lobby", "joined": true }))
}

/// Rooms and tags: joining, leaving, sending.
fn chat() -> Router {
    Router::new()
        .on("/join", join)
        .on("/leave", leave)
        .on("/who", who)
        .on("/message", message)
        .on("/typing", typing)
        .on("/announce", announce)
        .on("/tag", tag)
        .on("/untag", untag)
        .on("/to", to_one)
}

/// The room in the data, `#chat` by default.
fn room_of(data: &Payload) -> Result<Target, ReplyError> {
    Ok(Target::room(optional_text(data, "room").as_deref().unwrap_or("chat"))?)
}

/// A socket, and the name that its client gave.
#[derive(Serialize)]
struct Person {
    id: SocketId,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
}

impl Person {
    fn of(socket: &Socket) -> Self {
        Person { id: socket.id(), username: socket.get("username") }
    }
}

async fn join(request: Request, data: Payload) -> Outcome {
    let room = room_of(&data)?;
    if let Some(username) = optional_text(&data, "username") {
        if username.len() > USERNAME_BYTES_MAX {
            let message = format!("`username` has more than {USERNAME_BYTES_MAX} bytes");
            return Err(ReplyError::bad_data(message));
        }
        request.set("username", username);
    }
    if request.socket().join_as_client(&room.to_string())? {
        let mut rooms: Vec<Target> = request.get("rooms").unwrap_or_default();
        rooms.push(room.clone());
        request.set("rooms", rooms);
    }
    request.to(room).emit("user-joined", &Person::of(request.socket()))?;
    Ok(Reply(json!({ "joined": optional_text(&data, "room").map_or(json!(true), Value::from) })))
}

#[derive(Serialize)]
struct Left {
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Payload>,
}

async fn leave(request: Request, data: Payload) -> Result<Reply<Left>, ReplyError> {
    let room = room_of(&data)?;
    if request.leave(&room.to_string())? {
        let mut rooms: Vec<Target> = request.get("rooms").unwrap_or_default();
        rooms.retain(|one| *one != room);
        request.set("rooms", rooms);
        announce_leave(&request, room)?;
    }
    Ok(Reply(Left { left: data.member("room") }))
}

/// The socket is in no room any more when it disconnects, so its rooms are remembered in the session.
async fn announce_disconnect(request: Request) -> Result<(), ReplyError> {
    for room in request.get::<Vec<Target>>("rooms").unwrap_or_default() {
        announce_leave(&request, room)?;
    }
    Ok(())
}

fn announce_leave(request: &Request, room: Target) -> Result<(), ReplyError> {
    request.to(room).emit("user-left", &Person::of(request.socket()))?;
    Ok(())
}

async fn who(app: App, socket: Socket, data: Payload) -> Outcome {
    let room = room_of(&data)?;
    socket.require(Right::Presence, &room)?;
    let mut members = app.room_members(&room.to_string()).await?;
    members.truncate(LISTED_MAX);
    let person = |id| app.socket(id).map_or(Person { id, username: None }, |socket| Person::of(&socket));
    let members: Vec<Person> = members.into_iter().map(person).collect();
    Ok(Reply(json!({ "members": members })))
}

#[derive(Serialize)]
struct ChatLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Payload>,
}

/// Sends no reply, like `/typing`: emit.gg's example has none.
async fn message(request: Request, data: Payload) -> Result<NoReply, ReplyError> {
    let line = ChatLine { username: request.get("username"), text: data.member("text") };
    request.to(room_of(&data)?).including_self().as_client().emit("message", &line)?;
    Ok(NoReply)
}

async fn typing(request: Request, data: Payload) -> Result<NoReply, ReplyError> {
    request.to(room_of(&data)?).volatile().as_client().emit("typing", &json!({ "id": request.id() }))?;
    Ok(NoReply)
}

async fn announce(app: App, socket: Socket, data: Payload) -> Outcome {
    let audience = match data.member("to").filter(|to| *to != Payload::NULL) {
        None => Audience::everyone(),
        Some(_) => text(&data, "to")?.parse::<Target>()?.into(),
    };
    for target in &audience.to {
        socket.require(Right::Send, target)?;
    }
    let emitter = app.to(audience);
    let is_local = data.member("local").is_some_and(|local| local.as_bytes() == b"true");
    let emitter = if is_local { emitter.local() } else { emitter };
    emitter.emit_payload("announcement", data.member("data").unwrap_or(Payload::EMPTY))?;
    Ok(ok())
}

async fn tag(request: Request, data: Payload) -> Outcome {
    request.socket().tag_as_client(&text(&data, "tag")?)?;
    Ok(ok())
}

async fn untag(request: Request, data: Payload) -> Outcome {
    request.untag(&text(&data, "tag")?)?;
    Ok(ok())
}

async fn to_one(app: App, socket: Socket, data: Payload) -> Outcome {
    let (id, event) = (text(&data, "id")?, text(&data, "event")?);
    if event.starts_with('@') {
        return Err(ReplyError::bad_data("names that begin with `@` are reserved for the server"));
    }
    // A string that is not an id reaches no socket, like an unknown id.
    if let Ok(id) = id.parse::<SocketId>() {
        socket.require(Right::Send, Resource::Socket(id))?;
        app.to(id).emit_payload(&event, data.member("data").unwrap_or(Payload::EMPTY))?;
    }
    Ok(ok())
}

fn ok() -> Reply<Value> {
    Reply(json!({ "ok": true }))
}

/// Users and presence.
fn presence() -> Router {
    Router::new()
        .on("/login", login)
        .on("/profile", signed_in.then(profile))
        .on("/dm", direct_message)
        .on("/letter", letter)
        .on("/online", online)
        .on("/exists", exists)
        .on("/stats", stats)
}

async fn login_by_query(request: Request) -> Result<(), ReplyError> {
    if let Some(user) = request.info().query("userId") {
        request.socket().login(&user)?;
    }
    Ok(())
}

async fn login(socket: Socket, data: Payload) -> Outcome {
    socket.login(&text(&data, "userId")?)?;
    Ok(ok())
}

async fn signed_in(request: Request, next: Next) -> Response {
    match request.socket().user() {
        Some(_) => next.run(request).await,
        None => Reply(json!({ "error": "Unauthorized" })).into_response(),
    }
}

async fn profile(switchboard::User(user): switchboard::User) -> Reply<Value> {
    Reply(json!({ "user": user }))
}

#[derive(Serialize)]
struct Letter {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Payload>,
}

impl Letter {
    fn of(request: &Request) -> Self {
        Letter { from: request.socket().user(), text: request.payload().member("text") }
    }
}

async fn direct_message(request: Request, data: Payload) -> Outcome {
    let to = text(&data, "to")?;
    request.socket().require(Right::Send, Resource::User(&to))?;
    request.app().emit_to_user(&to, "dm", &Letter::of(&request))?;
    Ok(ok())
}

/// Like `/dm`, but stored: an offline user receives it at the next login.
async fn letter(request: Request, data: Payload) -> Outcome {
    let to = Target::user(&text(&data, "to")?)?;
    request.to(to).including_self().as_client().dispatch("letter", &Letter::of(&request)).await?;
    Ok(ok())
}

async fn online(app: App, socket: Socket, data: Payload) -> Outcome {
    let user = text(&data, "userId")?;
    socket.require(Right::Presence, Resource::User(&user))?;
    let online = app.user_socket_id(&user).await?;
    Ok(Reply(json!({ "online": online.is_some(), "socketId": online })))
}

async fn exists(app: App, socket: Socket, data: Payload) -> Outcome {
    let exists = match text(&data, "id")?.parse() {
        Ok(id) => {
            socket.require(Right::Presence, Resource::Socket(id))?;
            app.socket_exists(id).await?
        }
        Err(_) => false,
    };
    Ok(Reply(json!({ "exists": exists })))
}

async fn stats(app: App, socket: Socket, data: Payload) -> Outcome {
    socket.require(Right::Presence, Resource::Everyone)?;
    let local = app.hub().members(app.project_id(), &room_of(&data)?.into()).len();
    let mut stats = json!({
        "localRoomSize": local,
        "sockets": app.total_sockets().await?,
        "online": app.online_users().await?,
    });
    if let Some(room) = optional_text(&data, "room") {
        socket.require(Right::Presence, &Target::room(&room)?)?;
        stats["roomSize"] = json!(app.room_size(&room).await?);
        stats["roomMembers"] = json!(app.room_members(&room).await?);
    }
    if let Some(tag) = optional_text(&data, "tag") {
        socket.require(Right::Presence, &Target::tag(&tag)?)?;
        stats["tagCount"] = json!(app.tag_count(&tag).await?);
        stats["tagged"] = json!(app.tagged_sockets(&tag).await?);
    }
    Ok(Reply(stats))
}
