//! The scripts of the store.

use crate::connection::script::{Script, ScriptSet};

/// All scripts of the store. They run even when Redis is out of memory, because they write little and
/// presence would be wrong without them.
pub(super) struct StoreScripts {
    pub(super) members: Script,
    /// `members` for projects with copies of their presence for original servers.
    pub(super) members_with_copies: Script,
    pub(super) take_seat: Script,
    pub(super) leave_seat: Script,
    pub(super) restore_seat: Script,
    pub(super) describe: Script,
    pub(super) begin_sweep: Script,
    pub(super) sweep: Script,
    pub(super) take_kept: Script,
    pub(super) end_kept: Script,
    pub(super) forget_kept: Script,
    pub(super) expire_lease: Script,
    pub(super) claim: Script,
    pub(super) renew: Script,
    pub(super) register: Script,
    pub(super) remove_lease: Script,
    pub(super) open_project: Script,
    pub(super) close_project: Script,
}

const NO_COPIES: &str = include_str!("scripts/no_copies.lua");
const KEPT_KEY: &str = include_str!("scripts/kept_key.lua");
const MEMBERS: &str = include_str!("scripts/members.lua");
const SEATS: &str = include_str!("scripts/seats.lua");
const SWEEP: &str = include_str!("scripts/sweep.lua");

macro_rules! with_seats {
    ($file:literal) => {
        Script::allow_oom(concat!(include_str!("scripts/seats.lua"), include_str!($file)))
    };
}

impl StoreScripts {
    /// `copies` is the Lua of a [`PresenceMirror`](super::mirror::PresenceMirror). A sweep needs it as well:
    /// the dead node may have had copies.
    pub(super) fn new(copies: Option<&str>) -> Self {
        let copies = copies.unwrap_or(NO_COPIES);
        StoreScripts {
            members: Script::allow_oom(&[KEPT_KEY, NO_COPIES, MEMBERS].concat()),
            members_with_copies: Script::allow_oom(&[KEPT_KEY, copies, MEMBERS].concat()),
            take_seat: with_seats!("scripts/take_seat.lua"),
            leave_seat: with_seats!("scripts/leave_seat.lua"),
            restore_seat: with_seats!("scripts/restore_seat.lua"),
            describe: Script::allow_oom(include_str!("scripts/describe.lua")),
            begin_sweep: Script::allow_oom(include_str!("scripts/begin_sweep.lua")),
            sweep: Script::allow_oom(&[KEPT_KEY, SEATS, copies, SWEEP].concat()),
            take_kept: Script::allow_oom(&[KEPT_KEY, include_str!("scripts/take_kept.lua")].concat()),
            end_kept: Script::allow_oom(include_str!("scripts/end_kept.lua")),
            forget_kept: Script::allow_oom(
                &[KEPT_KEY, SEATS, include_str!("scripts/forget_kept.lua")].concat(),
            ),
            expire_lease: Script::allow_oom(include_str!("scripts/expire_lease.lua")),
            claim: Script::allow_oom(include_str!("scripts/claim.lua")),
            renew: Script::allow_oom(include_str!("scripts/renew.lua")),
            register: Script::allow_oom(include_str!("scripts/register.lua")),
            remove_lease: Script::allow_oom(include_str!("scripts/remove_lease.lua")),
            open_project: Script::allow_oom(include_str!("scripts/open_project.lua")),
            close_project: Script::allow_oom(include_str!("scripts/close_project.lua")),
        }
    }
}

impl ScriptSet for StoreScripts {
    fn scripts(&self) -> Vec<&Script> {
        vec![
            &self.members,
            &self.members_with_copies,
            &self.take_seat,
            &self.leave_seat,
            &self.restore_seat,
            &self.describe,
            &self.begin_sweep,
            &self.sweep,
            &self.take_kept,
            &self.end_kept,
            &self.forget_kept,
            &self.expire_lease,
            &self.claim,
            &self.renew,
            &self.register,
            &self.remove_lease,
            &self.open_project,
            &self.close_project,
        ]
    }
}
