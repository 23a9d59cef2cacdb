//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

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
    /// Load an emit or Socket.IO server, and say what that costs it.
    Bench(switchboard_bench::Options),
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
