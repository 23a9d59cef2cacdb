//! The command line.

pub(crate) mod api;
mod certificates;
mod lifetime;
mod recipients;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use switchboard_ws::CloseCode;
use switchboard_ws::close::REASON_BYTES_MAX;

use crate::settings::Settings;
use crate::version;
use api::{Api, ApiCommand};
pub(crate) use certificates::Certificates;
use lifetime::lifetime;
pub(crate) use recipients::Recipients;

/// The exit statuses, below the help of the command.
const EXIT_STATUS: &str = "\
Exit status:
  0    Success; for `serve` and `demo`, a stop after a signal
  1    A failure at run time: a port in use, a server that cannot be reached, a refused request
  2    An invalid command line or invalid settings
  141  Nothing reads the output any more, as after `switchboard tail … | head -1`

`serve` and `demo` go on without a reader of their output. `health` exits with 1 in place of 2, because Docker reserves 2.";

/// A real-time messaging server. Without a command, it runs `demo`.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version = version::LINE, args_conflicts_with_subcommands = true, after_help = EXIT_STATUS)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Settings of `demo`, the default command.
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Settings),
    /// Run the server with the demo application and its pages.
    Demo(Demo),
    /// Check the settings and whether a server could start with them, and print them as TOML.
    Check(Check),
    /// Send one event to a server, as a client.
    Emit(Emit),
    /// Connect as a client and print every event from the server.
    Tail(Tail),
    /// Send one event as a backend: to users, rooms, tags, sockets or everyone.
    Dispatch(Dispatch),
    /// Close sockets as a backend: of users, rooms, tags or everyone.
    Disconnect(Disconnect),
    /// Try the webhooks of the settings, or show and repeat those of a running node.
    #[command(subcommand)]
    Hooks(Hooks),
    /// Send the clients of a node to other nodes, for example before it is stopped.
    Drain(Drain),
    #[command(flatten)]
    Api(ApiCommand),
    /// Make or verify a token with the keys in the settings (`auth.…`).
    #[command(subcommand)]
    Token(Token),
    /// Make a settings file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask a running server whether it is healthy, for health checks of containers.
    Health(Health),
    /// Print a script that completes commands and flags in a shell.
    Completions {
        /// The shell that reads the script.
        shell: Shell,
    },
    /// Write man pages: one for `switchboard`, and one for each command.
    Man {
        /// The folder for the pages; it is created if it does not exist.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// Arguments of `check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Fails with the error with which `serve` would fail. The inbox file and the addresses are tried, and Redis is connected to;
nothing is changed. A server that runs already is a warning.")]
pub(crate) struct Check {
    /// Check the settings alone: not this machine's addresses and files, and not Redis.
    #[arg(long)]
    pub(crate) settings_only: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Actions on webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum Hooks {
    /// Send one report of the type `test` to an endpoint, signed as every other, and print its answer.
    Test {
        /// The name of the endpoint in `hooks.endpoints`.
        endpoint: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the endpoints of a running node: name, URL, state, accepted reports, failures since the last success, backlog,
    /// age of the oldest report in ms, and the last error.
    Status(Api),
    /// Let a running node repeat failed calls now, also those of an endpoint that has answered 410.
    Replay {
        /// The name of the endpoint in `hooks.endpoints` [default: all].
        endpoint: Option<String>,
        #[command(flatten)]
        api: Api,
    },
}

/// Actions on settings files.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write a file with all settings, their defaults and explanations. Each setting is behind a #.
    Init {
        /// The file; `-` is the standard output.
        #[arg(default_value = "switchboard.toml")]
        file: PathBuf,
        /// Overwrite the file if it exists.
        #[arg(long)]
        force: bool,
    },
}

/// Arguments of `health`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Prints `ready`, or `degraded` while Redis or the inbox file is down, and exits with 0.
Exits with 1 if the server stops, does not answer in time, or cannot be reached.")]
pub(crate) struct Health {
    /// The server, such as http://127.0.0.1:3001, or the page to request. Default: `/readyz` at `internal.listen`, or
    /// `listen`, of the settings below.
    pub(crate) url: Option<String>,
    /// Longest time until the answer: a number and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = lifetime)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) certificates: Certificates,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Arguments of `demo`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Listen also on an address that other machines can reach. They may do everything.
    #[arg(long)]
    pub(crate) public: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Actions on tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Print a token signed with the first secret of `auth.jwt_secret`.
    Make {
        /// The user id.
        user: String,
        /// Lifetime: a number and s, m, h or d, such as 15m. Default: the token does not expire.
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires_in: Option<Duration>,
        /// A further claim, its value as JSON or text; may be repeated.
        #[arg(long = "claim", value_name = "NAME=VALUE")]
        claims: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the user of a token, or why the token is refused.
    Check {
        /// The token.
        token: String,
        #[command(flatten)]
        settings: Settings,
    },
}

/// Arguments of `emit`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Emit {
    /// The server, such as ws://127.0.0.1:3000 or wss://chat.example.com; without a scheme it is ws://.
    pub(crate) url: String,
    /// The event's name, such as /message.
    pub(crate) event: String,
    /// The data as JSON; anything else is sent as a string.
    #[arg(default_value = "{}")]
    pub(crate) data: String,
    /// Wait for the reply and print it. Without this flag a refusal is waited for 250 ms.
    #[arg(long)]
    pub(crate) request: bool,
    /// A root certificate to trust beside those of public authorities, as a PEM file. A self-signed certificate is its
    /// own root.
    #[arg(long, value_name = "FILE")]
    pub(crate) root_certificate: Option<PathBuf>,
}

/// Arguments of `dispatch`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Dispatch {
    /// The event's name, called type in Mesa.
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,
    /// The data as JSON; anything else is sent as a string.
    #[arg(default_value = "{}")]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) recipients: Recipients,
    /// Mesa's operation; events of applications have 0.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) op: i64,
    /// Store the message for each user until it is acknowledged.
    #[arg(long)]
    pub(crate) sync: bool,
}

/// Arguments of `disconnect`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Disconnect {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) recipients: Recipients,
    /// The close code; 3000 to 4999 are for applications.
    #[arg(long, default_value = "1000", value_parser = close_code)]
    pub(crate) code: CloseCode,
    /// The reason, at most 123 bytes.
    #[arg(long, default_value = "", value_parser = close_reason)]
    pub(crate) reason: String,
}

/// Arguments of `drain`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The node refuses new clients, and its /readyz answers 503. Clients that understand it move by themselves; all others are
closed with 1012. Prints how many connections are left. The process goes on until it is stopped.")]
pub(crate) struct Drain {
    /// Cancel the drain: the node accepts clients again.
    #[arg(long, conflicts_with_all = ["window", "wait"])]
    pub(crate) cancel: bool,
    /// Time over which the clients leave: a number and s, m, h or d [default: the server's stop.window_ms].
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub(crate) window: Option<Duration>,
    /// Wait until no connection is left.
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

fn close_code(text: &str) -> Result<CloseCode, String> {
    let code =
        text.parse().map_err(|_| format!("expected a close code such as 1000 or 4003; found `{text}`"))?;
    CloseCode::to_send(code).map_err(|error| error.to_string())
}

fn close_reason(text: &str) -> Result<String, String> {
    match text.len() {
        ..=REASON_BYTES_MAX => Ok(text.into()),
        bytes => Err(format!("expected at most {REASON_BYTES_MAX} bytes; found {bytes}")),
    }
}

/// How the command reaches the nodes.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("connection").required(true).args(["redis", "url"])))]
pub(crate) struct Connection {
    /// Address of the Redis that the nodes share, such as redis://127.0.0.1:6379.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) redis: Option<String>,
    /// Address of the HTTP API of a node, such as http://127.0.0.1:4001.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) url: Option<String>,
    /// Key of the HTTP API [default: the variable DISPATCH_KEY, which other users of the machine cannot see].
    #[arg(long, conflicts_with = "redis")]
    pub(crate) key: Option<String>,
    /// The nodes' `redis.prefix`.
    #[arg(long, default_value = "switchboard", conflicts_with = "url")]
    pub(crate) prefix: String,
    /// Send as an original Mesa Dispatcher: to original servers, and to nodes with Mesa enabled.
    #[arg(long, conflicts_with = "url")]
    pub(crate) legacy: bool,
    /// The project, called namespace in Mesa.
    #[arg(long, value_name = "PROJECT")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

/// Arguments of `tail`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Tail {
    /// The server, such as ws://127.0.0.1:3000 or wss://chat.example.com; without a scheme it is ws://.
    pub(crate) url: String,
    /// A room to join with /join; may be repeated.
    #[arg(long = "room", value_name = "ROOM")]
    pub(crate) rooms: Vec<String>,
    /// A root certificate to trust beside those of public authorities, as a PEM file. A self-signed certificate is its
    /// own root.
    #[arg(long, value_name = "FILE")]
    pub(crate) root_certificate: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};
    use switchboard_testkit::generated;

    use super::Args;

    #[test]
    fn the_generated_commands_are_current() {
        let mut command = Args::command().term_width(100).disable_help_subcommand(true);
        command.build();
        let mut text = "<!-- Generated from the help of the command by a test; see CONTRIBUTING.md. Do not edit. -->\n\n\
                        # Commands\n"
            .to_owned();
        add_help(&mut command, &mut text);
        generated::assert_current("docs/reference/commands.md", &text);
    }

    fn add_help(command: &mut Command, text: &mut String) {
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let name = command.get_bin_name().unwrap_or("switchboard").to_owned();
        *text += &format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n"));
        for inner in command.get_subcommands_mut() {
            add_help(inner, text);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
