//! The commands, one file each.

mod address;
mod api;
mod api_client;
mod backend;
mod check;
mod completions;
mod config;
mod data;
mod disconnect;
mod dispatch;
mod drain;
mod emit;
mod explain;
mod health;
mod history;
mod hooks;
mod http;
mod man;
mod revoke;
mod serve;
mod table;
mod tail;
mod token;

use switchboard_server::Mode;

use crate::args::{Args, Command, Demo};
use crate::output::Failure;

/// Runs the command of the command line.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.command.unwrap_or(Command::Demo(Demo { public: false, settings: args.settings })) {
        Command::Serve(settings) => serve::run(settings.sources(), Mode::Serve, false).await,
        Command::Demo(demo) => serve::run(demo.settings.sources(), Mode::Demo, demo.public).await,
        Command::Check(check) => check::run(&check).await,
        Command::Emit(emit) => emit::run(&emit).await.map_err(Failure::Run),
        Command::Dispatch(dispatch) => dispatch::run(&dispatch).await,
        Command::Disconnect(disconnect) => disconnect::run(&disconnect).await,
        Command::Hooks(hooks) => hooks::run(hooks).await,
        Command::Drain(drain) => drain::run(&drain).await,
        Command::Api(command) => api::run(&command).await,
        Command::Token(token) => token::run(token).await,
        Command::Tail(tail) => tail::run(&tail).await.map_err(Failure::Run),
        Command::Config(command) => config::run(&command),
        Command::Health(health) => health::run(&health).await.map_err(Failure::Run),
        Command::Completions { shell } => {
            completions::run(shell);
            Ok(())
        }
        Command::Man { folder } => man::run(&folder).map_err(Failure::Run),
    }
}
