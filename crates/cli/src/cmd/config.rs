//! `switchboard config`: makes a settings file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use switchboard_server::Config;

use crate::args::ConfigCommand;
use crate::output::Failure;
use crate::streams::{print, print_error_line};

/// Writes the file, and its use on stderr.
pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Init { file, force } = command;
    if file == Path::new("-") {
        print(format_args!("{}", Config::ANNOTATED));
        return Ok(());
    }
    write(file, *force).map_err(Failure::Run)?;
    let file = file.display();
    print_error_line(format_args!("wrote {file}; after changes, run `switchboard check --config {file}`"));
    Ok(())
}

fn write(file: &Path, force: bool) -> anyhow::Result<()> {
    let shown = file.display();
    let mut options = OpenOptions::new();
    options.write(true).create(force).create_new(!force).truncate(force);
    let mut opened = options.open(file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow!("{shown} exists; --force overwrites it"),
        _ => anyhow::Error::new(error).context(format!("cannot write {shown}")),
    })?;
    opened.write_all(Config::ANNOTATED.as_bytes()).with_context(|| format!("cannot write {shown}"))
}
