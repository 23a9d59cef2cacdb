//! The commands, a file each.

mod backend;
mod check;
mod disconnect;
mod dispatch;
mod emit;
mod serve;
mod tail;
mod token;

use switchboard_server::{Config, Mode};

use crate::args::{Args, Command, Settings};
use crate::output::Failure;

/// Runs what the command line asks for.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.command.unwrap_or(Command::Demo(args.settings)) {
        Command::Serve(settings) => serve::run(&load(&settings)?, Mode::Serve).await,
        Command::Demo(settings) => serve::run(&load(&settings)?, Mode::Demo).await,
        Command::Check(settings) => check::run(&load(&settings)?),
        Command::Emit(emit) => emit::run(&emit).await.map_err(Failure::Run),
        Command::Dispatch(dispatch) => dispatch::run(&dispatch).await,
        Command::Disconnect(disconnect) => disconnect::run(&disconnect).await,
        Command::Token(token) => token::run(token).await,
        Command::Tail(tail) => tail::run(&tail).await.map_err(Failure::Run),
    }
}

fn load(settings: &Settings) -> Result<Config, Failure> {
    Config::load(settings.config.as_deref(), &settings.sets()).map_err(|error| Failure::Usage(error.into()))
}
