//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};
use switchboard_dispatcher::SocketId;
use switchboard_ws::CloseCode;
use switchboard_ws::close::REASON_BYTES_MAX;

/// A real-time messaging server.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Without a command the demo runs.
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Settings),
    /// Run the server with the demo application and its page.
    Demo(Settings),
    /// Say what is wrong with the settings, or print the effective ones.
    Check(Settings),
    /// Send one event to a server, as a client.
    Emit(Emit),
    /// Print every event that a server sends, as a client.
    Tail(Tail),
    /// Send one event to users, rooms, tags or everyone, as a backend.
    Dispatch(Dispatch),
    /// Close the sockets of users, rooms, tags or everyone, as a backend.
    Disconnect(Disconnect),
    /// Make or check a token, with the keys of the settings (`auth.…`).
    #[command(subcommand)]
    Token(Token),
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Print a token signed with the first secret of `auth.jwt_secret`.
    Make {
        /// The user it names.
        user: String,
        /// When it ends: a number and s, m, h or d, such as 15m. It never does if this is left out.
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires_in: Option<Duration>,
        /// One more claim, the value as JSON or as a text; may be given many times.
        #[arg(long = "claim", value_name = "NAME=VALUE")]
        claims: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Say whom a token names, or why it is refused.
    Check {
        /// The token.
        token: String,
        #[command(flatten)]
        settings: Settings,
    },
}

/// Reads `90s`, `15m`, `12h` or `30d`.
fn lifetime(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a number and s, m, h or d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(bad()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    Ok(Duration::from_secs(number.checked_mul(seconds).ok_or_else(bad)?))
}

/// What to send.
#[derive(Debug, ClapArgs)]
pub(crate) struct Emit {
    /// The server, such as ws://127.0.0.1:3000 or wss://chat.example.com.
    pub(crate) url: String,
    /// The event's name, such as /message.
    pub(crate) event: String,
    /// Its data as JSON; what is no JSON is sent as a text.
    #[arg(default_value = "{}")]
    pub(crate) data: String,
    /// Wait for the reply and print it.
    #[arg(long)]
    pub(crate) request: bool,
}

/// What to send.
#[derive(Debug, ClapArgs)]
pub(crate) struct Dispatch {
    /// The event's name: Mesa's type.
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,
    /// Its data as JSON; what is no JSON is sent as a text.
    #[arg(default_value = "{}")]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) way: Way,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// Mesa's operation; applications have 0.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) op: i64,
    /// Have it wait for each user until it has arrived, and print in how many inboxes it does.
    #[arg(long)]
    pub(crate) sync: bool,
}

/// What the sockets are told that are closed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Disconnect {
    #[command(flatten)]
    pub(crate) way: Way,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// The close code; 3000 to 4999 are the application's own.
    #[arg(long, default_value = "1000", value_parser = close_code)]
    pub(crate) code: CloseCode,
    /// The reason, at most 123 bytes.
    #[arg(long, default_value = "", value_parser = close_reason)]
    pub(crate) reason: String,
}

fn close_code(text: &str) -> Result<CloseCode, String> {
    let code = text.parse().map_err(|_| format!("`{text}` is no close code"))?;
    CloseCode::to_send(code).map_err(|error| error.to_string())
}

fn close_reason(text: &str) -> Result<String, String> {
    match text.len() {
        ..=REASON_BYTES_MAX => Ok(text.into()),
        bytes => Err(format!("it has {bytes} bytes, over the {REASON_BYTES_MAX} there may be")),
    }
}

/// By which way a backend speaks to the nodes.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("way").required(true).args(["redis", "url"])))]
pub(crate) struct Way {
    /// Through the Redis that the nodes share, such as redis://127.0.0.1:6379.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) redis: Option<String>,
    /// Through the HTTP API of a node, such as http://127.0.0.1:4001.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) url: Option<String>,
    /// The key for the HTTP API [default: what DISPATCH_KEY says, which other users cannot see].
    #[arg(long, conflicts_with = "redis")]
    pub(crate) key: Option<String>,
    /// The prefix of the nodes' keys.
    #[arg(long, default_value = "switchboard", conflicts_with = "url")]
    pub(crate) prefix: String,
    /// Speak as an original Mesa Dispatcher does, to original servers and nodes that are bridged to them.
    #[arg(long, conflicts_with = "url")]
    pub(crate) originals: bool,
    /// The project, which is Mesa's namespace.
    #[arg(long, value_name = "PROJECT")]
    pub(crate) namespace: Option<String>,
}

/// Whom it is about.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("to").required(true).multiple(true).args(["to_users", "to_places", "to_sockets", "everyone"])))]
pub(crate) struct Whom {
    /// A user; may be given many times, as all of these.
    #[arg(long = "to-user", value_name = "ID")]
    pub(crate) to_users: Vec<String>,
    /// A #room or a *tag.
    #[arg(long = "to", value_name = "ROOM|TAG")]
    pub(crate) to_places: Vec<String>,
    /// A socket.
    #[arg(long = "to-socket", value_name = "ID")]
    pub(crate) to_sockets: Vec<SocketId>,
    /// Everyone.
    #[arg(long)]
    pub(crate) everyone: bool,
    /// But not a user.
    #[arg(long = "except-user", value_name = "ID")]
    pub(crate) except_users: Vec<String>,
    /// But not a #room or a *tag.
    #[arg(long = "except", value_name = "ROOM|TAG")]
    pub(crate) except_places: Vec<String>,
    /// But not a socket.
    #[arg(long = "except-socket", value_name = "ID")]
    pub(crate) except_sockets: Vec<SocketId>,
}

/// What to watch.
#[derive(Debug, ClapArgs)]
pub(crate) struct Tail {
    /// The server, such as ws://127.0.0.1:3000 or wss://chat.example.com.
    pub(crate) url: String,
    /// A room to join first with /join; may be given many times.
    #[arg(long = "room", value_name = "ROOM")]
    pub(crate) rooms: Vec<String>,
}

/// Settings: the file, then the environment (`SWITCHBOARD_LIMITS__ENABLED=false`), then flags.
#[derive(Debug, ClapArgs)]
pub(crate) struct Settings {
    /// Where clients connect [default: 127.0.0.1:3000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Any setting, such as `limits.messages_per_s=100`; may be given many times.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl Settings {
    /// All flags as settings, in the order they count.
    pub(crate) fn sets(&self) -> Vec<String> {
        let listen = self.listen.iter().map(|address| format!("listen={address}"));
        self.set.iter().cloned().chain(listen).collect()
    }
}
