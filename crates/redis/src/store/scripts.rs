//! The scripts that are one step in Redis, and how they are called.

use redis::{Cmd, RedisResult, Value};

use crate::link::Link;

/// A script, and the name by which a server that has it is asked to run it.
pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub(crate) fn of(text: &'static str) -> Self {
        Script { text, hash: redis::Script::new(text).get_hash().into() }
    }

    /// Has a server know it.
    pub(crate) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.text);
        command
    }
}

/// All scripts of the store.
pub(super) struct Scripts {
    pub(super) members: Script,
    /// For a project that is bridged to emit.gg nodes.
    pub(super) mirror: Script,
    pub(super) take_seat: Script,
    pub(super) leave_seat: Script,
    pub(super) restore_seat: Script,
    pub(super) describe: Script,
    pub(super) sweep: Script,
    pub(super) claim: Script,
    pub(super) renew: Script,
    pub(super) register: Script,
    pub(super) forget: Script,
    pub(super) open: Script,
    pub(super) close: Script,
}

macro_rules! with_seats {
    ($($file:literal),+) => {
        Script::of(concat!(include_str!("scripts/seats.lua"), $(include_str!($file)),+))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Scripts {
            members: Script::of(include_str!("scripts/members.lua")),
            mirror: Script::of(concat!(
                include_str!("../bridge/mirror.lua"),
                include_str!("../bridge/members.lua")
            )),
            take_seat: with_seats!("scripts/take_seat.lua"),
            leave_seat: with_seats!("scripts/leave_seat.lua"),
            restore_seat: with_seats!("scripts/restore_seat.lua"),
            describe: Script::of(include_str!("scripts/describe.lua")),
            sweep: with_seats!("../bridge/mirror.lua", "scripts/sweep.lua"),
            claim: Script::of(include_str!("scripts/claim.lua")),
            renew: Script::of(include_str!("scripts/renew.lua")),
            register: Script::of(include_str!("scripts/register.lua")),
            forget: Script::of(include_str!("scripts/forget.lua")),
            open: Script::of(include_str!("scripts/open.lua")),
            close: Script::of(include_str!("scripts/close.lua")),
        }
    }

    /// Has every server know them.
    pub(super) async fn load(&self, link: &mut Link) -> RedisResult<()> {
        for script in [
            &self.members,
            &self.mirror,
            &self.take_seat,
            &self.leave_seat,
            &self.restore_seat,
            &self.describe,
            &self.sweep,
            &self.claim,
            &self.renew,
            &self.register,
            &self.forget,
            &self.open,
            &self.close,
        ] {
            link.command(&script.load()).await?.extract_error()?;
        }
        Ok(())
    }
}

/// A call of a script. Bytes in `args` go as they are.
pub(crate) fn call(script: &Script, keys: &[String], args: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(&script.hash).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    for arg in args {
        command.arg(*arg);
    }
    command
}

/// Whether the server does not know the script.
pub(super) fn is_unknown(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "NOSCRIPT")
}
