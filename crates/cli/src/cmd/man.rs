//! `switchboard man`: man pages from the help of the commands.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Args;
use crate::version::VERSION;

/// Writes a page for the command and for each of its subcommands into a folder.
pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, folder)
}

fn write_pages(command: &Command, folder: &Path) -> anyhow::Result<()> {
    // Such as `switchboard-token-make`.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command.clone())
        .title(&name)
        .source(format!("switchboard {}", VERSION.number))
        .manual("Switchboard");
    let mut page = Vec::new();
    man.render(&mut page).context("cannot make the page")?;
    let file = folder.join(format!("{name}.1"));
    fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    command.get_subcommands().try_for_each(|inner| write_pages(inner, folder))
}
