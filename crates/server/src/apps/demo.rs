//! The demo: chat, rooms, middleware, namespaces and presence, one handler for each feature.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use switchboard::{
    App, ConnectionInfo, Data, IntoAudience, IntoResponse, Middleware, Next, Payload, Reply, ReplyError,
    Request, Response, Router, Socket, SocketId, Target,
};

/// Longest delay of `/slow`.
const SLOW_MAX: Duration = Duration::from_secs(30);

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

async fn echo(data: Payload) -> Reply<Value> {
    // Numbers beyond the range of a double are rounded, as in the original demo.
    Reply(json!({ "data": data.to::<Value>().unwrap_or_default() }))
}

async fn whoami(socket: Socket, info: ConnectionInfo) -> Reply<Value> {
    Reply(json!({ "id": socket.id(), "query": info.query_json(), "path": info.path() }))
}

async fn slow(Data(data): Data<Value>) -> Reply<Value> {
    let ms = data["ms"].as_f64().unwrap_or_default().max(0.0);
    tokio::time::sleep(Duration::from_millis(ms as u64).min(SLOW_MAX)).await;
    Reply(json!({ "slow": data["ms"] }))
}

async fn throw() {
    panic!("thrown on purpose");
}

async fn ask(socket: Socket, Data(data): Data<Value>) -> Outcome {
    let answer: Value = socket.request("/client/ask", &data).await?;
    Ok(Reply(json!({ "answer": answer })))
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
fn room_of(data: &Value) -> Result<Target, ReplyError> {
    Ok(Target::room(data["room"].as_str().unwrap_or("chat"))?)
}

/// A field that must be a string.
fn text<'a>(data: &'a Value, field: &str) -> Result<&'a str, ReplyError> {
    data[field].as_str().ok_or_else(|| ReplyError::bad_data(format!("`{field}` is not a string")))
}

async fn join(request: Request, Data(data): Data<Value>) -> Outcome {
    let room = room_of(&data)?;
    if let Some(username) = data["username"].as_str() {
        request.set("username", username.to_owned());
    }
    if request.join(&room.to_string())? {
        let mut rooms: Vec<Target> = request.get("rooms").unwrap_or_default();
        rooms.push(room.clone());
        request.set("rooms", rooms);
    }
    let username = request.get::<String>("username");
    request.to(room).emit("user-joined", &json!({ "id": request.id(), "username": username }))?;
    Ok(Reply(json!({ "joined": data["room"].as_str().map_or(json!(true), |room| json!(room)) })))
}

async fn leave(request: Request, Data(data): Data<Value>) -> Outcome {
    let room = room_of(&data)?;
    if request.leave(&room.to_string())? {
        let mut rooms: Vec<Target> = request.get("rooms").unwrap_or_default();
        rooms.retain(|one| *one != room);
        request.set("rooms", rooms);
        announce_leave(&request, room)?;
    }
    Ok(Reply(json!({ "left": data["room"] })))
}

/// The socket is in no room any more when it disconnects, so its rooms are remembered in the session.
async fn announce_disconnect(request: Request) -> Result<(), ReplyError> {
    for room in request.get::<Vec<Target>>("rooms").unwrap_or_default() {
        announce_leave(&request, room)?;
    }
    Ok(())
}

fn announce_leave(request: &Request, room: Target) -> Result<(), ReplyError> {
    let username = request.get::<String>("username");
    request.to(room).emit("user-left", &json!({ "id": request.id(), "username": username }))?;
    Ok(())
}

async fn who(app: App, Data(data): Data<Value>) -> Outcome {
    let members = app.room_members(&room_of(&data)?.to_string()).await?;
    let name = |id: SocketId| app.socket(id).and_then(|socket| socket.get::<String>("username"));
    let members: Vec<_> = members.into_iter().map(|id| json!({ "id": id, "username": name(id) })).collect();
    Ok(Reply(json!({ "members": members })))
}

async fn message(request: Request, Data(data): Data<Value>) -> Result<(), ReplyError> {
    let line = json!({ "username": request.get::<String>("username"), "text": data["text"] });
    request.to(room_of(&data)?).including_self().emit("message", &line)?;
    Ok(())
}

async fn typing(request: Request, Data(data): Data<Value>) -> Result<(), ReplyError> {
    request.to(room_of(&data)?).volatile().emit("typing", &json!({ "id": request.id() }))?;
    Ok(())
}

async fn announce(app: App, Data(data): Data<Value>) -> Outcome {
    let emitter = match &data["to"] {
        Value::Null => app.to(Target::Everyone),
        Value::String(to) => app.to(to.into_audience()?),
        _ => return Err(ReplyError::bad_data("`to` is not a string")),
    };
    let emitter = if data["local"] == true { emitter.local() } else { emitter };
    let empty = json!({});
    emitter.emit("announcement", data.get("data").unwrap_or(&empty))?;
    Ok(ok())
}

async fn tag(request: Request, Data(data): Data<Value>) -> Outcome {
    request.tag(text(&data, "tag")?)?;
    Ok(ok())
}

async fn untag(request: Request, Data(data): Data<Value>) -> Outcome {
    request.untag(text(&data, "tag")?)?;
    Ok(ok())
}

async fn to_one(app: App, Data(data): Data<Value>) -> Outcome {
    // A string that is not an id reaches no socket, like an unknown id.
    if let Ok(id) = text(&data, "id")?.parse() {
        app.emit_to(id, text(&data, "event")?, &data["data"])?;
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

async fn login(socket: Socket, Data(data): Data<Value>) -> Outcome {
    socket.login(text(&data, "userId")?)?;
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

async fn direct_message(request: Request, Data(data): Data<Value>) -> Outcome {
    let line = json!({ "from": request.socket().user(), "text": data["text"] });
    request.app().emit_to_user(text(&data, "to")?, "dm", &line)?;
    Ok(ok())
}

/// Like `/dm`, but stored: an offline user receives it at the next login.
async fn letter(request: Request, Data(data): Data<Value>) -> Outcome {
    let line = json!({ "from": request.socket().user(), "text": data["text"] });
    request.app().to(Target::user(text(&data, "to")?)?).dispatch("letter", &line).await?;
    Ok(ok())
}

async fn online(app: App, Data(data): Data<Value>) -> Outcome {
    let socket = app.user_socket_id(text(&data, "userId")?).await?;
    Ok(Reply(json!({ "online": socket.is_some(), "socketId": socket })))
}

async fn exists(app: App, Data(data): Data<Value>) -> Outcome {
    let exists = match text(&data, "id")?.parse() {
        Ok(id) => app.socket_exists(id).await?,
        Err(_) => false,
    };
    Ok(Reply(json!({ "exists": exists })))
}

async fn stats(app: App, Data(data): Data<Value>) -> Outcome {
    let local = app.hub().members(app.project_id(), &room_of(&data)?.into()).len();
    let mut stats = json!({
        "localRoomSize": local,
        "sockets": app.total_sockets().await?,
        "online": app.online_users().await?,
    });
    if let Some(room) = data["room"].as_str() {
        stats["roomSize"] = json!(app.room_size(room).await?);
        stats["roomMembers"] = json!(app.room_members(room).await?);
    }
    if let Some(tag) = data["tag"].as_str() {
        stats["tagCount"] = json!(app.tag_count(tag).await?);
        stats["tagged"] = json!(app.tagged_sockets(tag).await?);
    }
    Ok(Reply(stats))
}
