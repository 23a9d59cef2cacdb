//! The recipients of a command's message.

use clap::{ArgGroup, Args as ClapArgs};
use switchboard_dispatcher::SocketId;

/// The recipients.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("to").required(true).multiple(true).args(["to_users", "to_sets", "to_sockets", "everyone"])))]
pub(crate) struct Recipients {
    /// A user. This and all options below may be repeated.
    #[arg(long = "to-user", value_name = "ID")]
    pub(crate) to_users: Vec<String>,
    /// A #room or a *tag.
    #[arg(long = "to", value_name = "ROOM|TAG")]
    pub(crate) to_sets: Vec<String>,
    /// A socket.
    #[arg(long = "to-socket", value_name = "ID")]
    pub(crate) to_sockets: Vec<SocketId>,
    /// Everyone.
    #[arg(long)]
    pub(crate) everyone: bool,
    /// Leave out a user.
    #[arg(long = "except-user", value_name = "ID")]
    pub(crate) except_users: Vec<String>,
    /// Leave out a #room or a *tag.
    #[arg(long = "except", value_name = "ROOM|TAG")]
    pub(crate) except_sets: Vec<String>,
    /// Leave out a socket.
    #[arg(long = "except-socket", value_name = "ID")]
    pub(crate) except_sockets: Vec<SocketId>,
}
