//! The scripts of the store.

use redis::RedisResult;

use crate::connection::Link;
use crate::connection::script::{self, Script};

/// All scripts of the store. They run though Redis is full: what they write is small, and without it nobody would
/// know who is here.
pub(super) struct Scripts {
    pub(super) members: Script,
    /// The same where originals have copies.
    pub(super) copied_members: Script,
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
        Script::even_if_full(concat!(include_str!("scripts/seats.lua"), $(include_str!($file)),+))
    };
}

/// For each kind of originals what writes their copies.
macro_rules! with_copies {
    ($file:literal) => {
        concat!(
            include_str!("../legacy/emit/mirror.lua"),
            include_str!("../legacy/mesa/connected.lua"),
            include_str!("../legacy/copies.lua"),
            include_str!($file)
        )
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Scripts {
            members: Script::even_if_full(concat!(
                include_str!("scripts/no_copies.lua"),
                include_str!("scripts/members.lua")
            )),
            copied_members: Script::even_if_full(with_copies!("scripts/members.lua")),
            take_seat: with_seats!("scripts/take_seat.lua"),
            leave_seat: with_seats!("scripts/leave_seat.lua"),
            restore_seat: with_seats!("scripts/restore_seat.lua"),
            describe: Script::even_if_full(include_str!("scripts/describe.lua")),
            sweep: Script::even_if_full(concat!(
                include_str!("scripts/seats.lua"),
                with_copies!("scripts/sweep.lua")
            )),
            claim: Script::even_if_full(include_str!("scripts/claim.lua")),
            renew: Script::even_if_full(include_str!("scripts/renew.lua")),
            register: Script::even_if_full(include_str!("scripts/register.lua")),
            forget: Script::even_if_full(include_str!("scripts/forget.lua")),
            open: Script::even_if_full(include_str!("scripts/open.lua")),
            close: Script::even_if_full(include_str!("scripts/close.lua")),
        }
    }

    /// Has every server know them.
    pub(super) async fn load(&self, link: &mut Link) -> RedisResult<()> {
        let all = [
            &self.members,
            &self.copied_members,
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
        ];
        script::load(link, &all).await
    }
}
