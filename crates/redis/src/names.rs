//! All keys and channels in Redis.
//!
//! With the prefix `switchboard` and the project `default`; times are in ms of Redis' clock:
//!
//! | name | type | content |
//! |---|---|---|
//! | `switchboard:{*}:nodes` | sorted set | leases, by expiry time |
//! | `switchboard:{*}:projects:<lease>` | set | projects in which the lease has entries |
//! | `switchboard:{default}:in:<target>` | sorted set | sockets in a target, 16 bytes each |
//! | `switchboard:{default}:users` | sorted set | users with a socket |
//! | `switchboard:{default}:rooms` | sorted set | rooms with a socket |
//! | `switchboard:{default}:lease:<lease>` | set | targets in which the lease has sockets; `$` if it has seats; `.` while it may write |
//! | `switchboard:{default}:dead:<lease>` | string, for the length of a lease | the lease was swept and may not write again |
//! | `switchboard:{default}:sessions:<lease>` | hash | socket to the record with which its session is resumed |
//! | `switchboard:{default}:sweep:<lease>` | hash | target to the last entry that a sweep has seen; the empty field while it keeps sessions |
//! | `switchboard:{default}:kept` | hash | socket of a dead node to the record of its session; `-` if it was taken, `+` if it has ended |
//! | `switchboard:{default}:kept:ends` | sorted set | these sockets, by the time at which their entries are removed |
//! | `switchboard:{default}:kept:of:<32 hexadecimal digits>` | set | targets of such a socket; `$` and a shard for its seat |
//! | `switchboard:{default}:kept:lock` | string, for 10 s | lock: a node ends kept sessions |
//! | `switchboard:{*}:kept` | set | projects that may have kept sessions |
//! | `switchboard:{default}:mirror:<lease>` | hash | kind of original server to the place of its copies of the lease's entries |
//! | `switchboard:{default}:connected` | hash | user to the number of its sockets that are copied for original Mesa servers |
//! | `switchboard:{default}:seats` and `:seats:…` | see below | the seats of the shards |
//! | `switchboard:{default}:shard:<shard>` | hash | socket to its entry in the member list |
//! | `switchboard:{default}:work` and `:work:…` | see `reports/groups.rs` | reports for worker groups |
//! | `switchboard:webhooks:{default}:work` and `:work:…` | see `reports/groups.rs` | reports for webhooks |
//! | `switchboard:{default}:occupied` | set | occupied rooms, while webhooks report them |
//! | `switchboard:{*}:swept:<lease>` | string, for 10 s | lock: a node reports the clients of an expired lease to webhooks |
//! | `switchboard:{default}:to:<target>` | channel | publications for the target |
//! | `switchboard:{*}:inboxes` | set | projects with inboxes |
//! | `switchboard:{*}:inboxes:expiry-lock` | string, for a minute | lock: a node has begun to remove expired messages |
//! | `switchboard:request:<digest>` | string, for ten minutes | an idempotent request: content, and claim or response; see `idempotency.rs` |
//! | `switchboard:{*}:revocations` | hash, until the last token has expired | revoked tokens and users: issued-before and end; see `revocations.rs` |
//! | `switchboard:{*}:revocations:ends` | sorted set, as long | keys of that hash, by the time at which the tokens have expired |
//! | `switchboard:rate:<rule>:<key>` | string, while it is in the future | theoretical arrival time (GCRA) in µs, from the counts of all nodes; see `rates.rs` |
//! | `switchboard:{*}:inboxes:limits` | hash | bounds of the inbox that a node announced last |
//! | `switchboard:{default}:inbox:@<user>` | list | stored messages of a user: number, 8 bytes, and event, alternating |
//! | `switchboard:{default}:inbox:totals` | hash | `messages` and `bytes` stored in the project; `largest` is an upper bound of a message's size |
//! | `switchboard:{default}:inbox:bytes` | hash | user to stored bytes, for inboxes that may be near their bound |
//! | `switchboard:{default}:inbox:oldest` | sorted set | users, by the time of their oldest message, or earlier |
//! | `switchboard:{default}:inbox:open` | hash | user to the socket that holds the inbox |
//! | `switchboard:{default}:history:<room>` | list | messages of a room; see `history/scripts/log.lua` |
//! | `switchboard:{default}:history:meta:<room>` | string | epoch, latest offset, bytes and oldest message of a room's history; see `history/scripts/log.lua` |
//! | `switchboard:{default}:history:era` | string, for a day | changes when the histories of the project may be incomplete |
//! | `switchboard:{default}:inbox:last` | string, for as long as messages are kept | the last message number |
//!
//! A target is `=` for everyone, `#room`, `*tag`, `@user`, or `!node` for the sockets of one node. A lease is
//! `<node>-<16 hexadecimal digits>`. Seats: `:seats` (sorted set), `:seats:taken`, `:seats:plan`, `:seats:meta`
//! (hashes), `:seats:open`, `:seats:free` (sorted sets).
//!
//! A project's name is percent-encoded except for letters, digits, `-`, `.` and `_`. So it cannot contain the
//! closing brace, and all keys of a project are in one slot of a cluster. Names of rooms, tags, users and shards
//! are at the end and unchanged, so they cannot be taken for another part.

use std::collections::HashSet;
use std::fmt::Write;

use switchboard_backplane::Digest;
use switchboard_event::{Name, NodeId, ProjectId, RoomName, ShardName, SocketId, Target, UserId};

/// Makes names with one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Names { prefix: prefix.into() }
    }

    pub(crate) fn nodes(&self) -> String {
        format!("{}:{{*}}:nodes", self.prefix)
    }

    /// Held by the node that reports the clients of an expired lease.
    pub(crate) fn swept(&self, lease: &str) -> String {
        format!("{}:{{*}}:swept:{lease}", self.prefix)
    }

    /// The projects with sessions of dead nodes.
    pub(crate) fn projects_with_kept(&self) -> String {
        format!("{}:{{*}}:kept", self.prefix)
    }

    pub(crate) fn projects(&self, lease: &str) -> String {
        format!("{}:{{*}}:projects:{lease}", self.prefix)
    }

    pub(crate) fn inboxes(&self) -> String {
        format!("{}:{{*}}:inboxes", self.prefix)
    }

    pub(crate) fn inboxes_expiry_lock(&self) -> String {
        format!("{}:{{*}}:inboxes:expiry-lock", self.prefix)
    }

    /// Without a hash tag: each request may be in any slot.
    pub(crate) fn request(&self, name: &Digest) -> String {
        let mut text = format!("{}:request:", self.prefix);
        name.iter().for_each(|byte| write!(text, "{byte:02x}").expect("writing to a String cannot fail"));
        text
    }

    /// Without a hash tag: each budget may be in any slot.
    pub(crate) fn rate(&self, key: &str) -> String {
        format!("{}:rate:{key}", self.prefix)
    }

    /// The revocations, and their ends.
    pub(crate) fn revocations(&self) -> [String; 2] {
        ["", ":ends"].map(|part| format!("{}:{{*}}:revocations{part}", self.prefix))
    }

    pub(crate) fn inboxes_limits(&self) -> String {
        format!("{}:{{*}}:inboxes:limits", self.prefix)
    }

    pub(crate) fn project(&self, project: &ProjectId) -> ProjectNames {
        let mut base = String::with_capacity(self.prefix.len() + project.len() + 3);
        base.push_str(&self.prefix);
        base.push_str(":{");
        for byte in project.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => base.push(byte.into()),
                _ => write!(base, "%{byte:02X}").expect("writing to a String cannot fail"),
            }
        }
        base.push('}');
        ProjectNames { base }
    }
}

/// The names of one project.
#[derive(Debug, Clone)]
pub(crate) struct ProjectNames {
    base: String,
}

impl ProjectNames {
    /// The prefix of all names of the project.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn channel(&self, target: &Target) -> String {
        format!("{}:to:{}", self.base, target_text(target))
    }

    /// The channels of targets, without duplicates.
    pub(crate) fn channels<'a>(&self, targets: impl Iterator<Item = &'a Target>) -> Vec<String> {
        let mut known = HashSet::new();
        targets.map(|target| self.channel(target)).filter(|channel| known.insert(channel.clone())).collect()
    }

    /// The channel for single sockets of a node.
    pub(crate) fn node_channel(&self, node: NodeId) -> String {
        format!("{}:to:!{node}", self.base)
    }

    pub(crate) fn members(&self, target: &Target) -> String {
        format!("{}:in:{}", self.base, target_text(target))
    }

    /// The occupied rooms, for webhooks.
    pub(crate) fn occupied(&self) -> String {
        format!("{}:occupied", self.base)
    }

    pub(crate) fn users(&self) -> String {
        format!("{}:users", self.base)
    }

    pub(crate) fn rooms(&self) -> String {
        format!("{}:rooms", self.base)
    }

    pub(crate) fn index(&self, lease: &str) -> String {
        format!("{}:lease:{lease}", self.base)
    }

    /// The records of a lease's sessions.
    pub(crate) fn sessions(&self, lease: &str) -> String {
        format!("{}:sessions:{lease}", self.base)
    }

    /// Where the sweep of a lease continues.
    pub(crate) fn sweep_cursors(&self, lease: &str) -> String {
        format!("{}:sweep:{lease}", self.base)
    }

    /// The kept sessions, and their ends.
    pub(crate) fn kept(&self) -> [String; 2] {
        ["", ":ends"].map(|part| format!("{}:kept{part}", self.base))
    }

    pub(crate) fn kept_lock(&self) -> String {
        format!("{}:kept:lock", self.base)
    }

    /// The targets of a kept session.
    pub(crate) fn kept_targets(&self, socket: SocketId) -> String {
        let mut text = format!("{}:kept:of:", self.base);
        socket
            .as_bytes()
            .iter()
            .for_each(|byte| write!(text, "{byte:02x}").expect("writing to a String cannot fail"));
        text
    }

    pub(crate) fn mirror(&self, lease: &str) -> String {
        format!("{}:mirror:{lease}", self.base)
    }

    pub(crate) fn tombstone(&self, lease: &str) -> String {
        format!("{}:dead:{lease}", self.base)
    }

    /// In the order in which the scripts expect them.
    pub(crate) fn seats(&self) -> [String; 6] {
        ["", ":taken", ":plan", ":open", ":free", ":meta"].map(|part| format!("{}:seats{part}", self.base))
    }

    /// In the order in which the scripts expect them.
    pub(crate) fn inbox(&self) -> [String; 4] {
        ["totals", "bytes", "oldest", "open"].map(|part| format!("{}:inbox:{part}", self.base))
    }

    pub(crate) fn inbox_of(&self, user: &UserId) -> String {
        format!("{}:inbox:@{user}", self.base)
    }

    pub(crate) fn inbox_last(&self) -> String {
        format!("{}:inbox:last", self.base)
    }

    /// The list and the hash of a room, and the era, in the order in which the scripts expect them.
    pub(crate) fn history(&self, room: &RoomName) -> [String; 3] {
        [
            format!("{}:history:{room}", self.base),
            format!("{}:history:meta:{room}", self.base),
            self.history_era(),
        ]
    }

    pub(crate) fn history_era(&self) -> String {
        format!("{}:history:era", self.base)
    }

    pub(crate) fn shard(&self, shard: &ShardName) -> String {
        format!("{}:shard:{shard}", self.base)
    }

    pub(crate) fn work_groups(&self) -> String {
        format!("{}:work:groups", self.base)
    }

    pub(crate) fn work_partitions(&self) -> String {
        format!("{}:work:partitions", self.base)
    }

    pub(crate) fn work_channel(&self) -> String {
        format!("{}:work", self.base)
    }

    /// The key for the number of a node's last report.
    pub(crate) fn work_sent(&self, node: NodeId) -> String {
        format!("{}:work:sent:{node}", self.base)
    }

    pub(crate) fn workers(&self, group: &Name) -> String {
        format!("{}:work:workers:{group}", self.base)
    }

    pub(crate) fn owners(&self, group: &Name) -> String {
        format!("{}:work:owners:{group}", self.base)
    }

    /// The stream of one partition's reports for a group.
    pub(crate) fn work(&self, partition: u16, group: &Name) -> String {
        format!("{}:work:{partition}:{group}", self.base)
    }

    /// The prefix of every shard's channel; the shard's name follows.
    pub(crate) fn shard_channel_prefix(&self) -> String {
        format!("{}:to:#", self.base)
    }
}

/// A target in a name. Different targets have different texts, except that a socket is represented by its node.
pub(crate) fn target_text(target: &Target) -> String {
    match target {
        Target::Everyone => "=".into(),
        Target::Socket(id) => node_text(*id),
        Target::User(id) => format!("@{id}"),
        Target::Room(name) => name.to_string(),
        Target::Tag(name) => name.to_string(),
    }
}

/// The node of a lease. `None` if the bytes are not a lease id.
pub(crate) fn node_of(lease: &[u8]) -> Option<NodeId> {
    let hex = std::str::from_utf8(lease.get(..8)?).ok()?;
    u32::from_str_radix(hex, 16).ok().map(NodeId)
}

/// A name from Redis. `None` if it is invalid.
pub(crate) fn name<T: for<'a> TryFrom<&'a str>>(bytes: Vec<u8>) -> Option<T> {
    T::try_from(std::str::from_utf8(&bytes).ok()?).ok()
}

fn node_text(id: SocketId) -> String {
    format!("!{}", id.node())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(project: &str) -> String {
        Names::new("switchboard").project(&ProjectId::new(project).unwrap()).base
    }

    #[test]
    fn a_project_name_cannot_leave_its_hash_tag() {
        assert_eq!(base("default"), "switchboard:{default}");
        assert_eq!(base("}"), "switchboard:{%7D}");
        assert_eq!(base("a}:in:#b"), "switchboard:{a%7D%3Ain%3A%23b}");
        assert_eq!(base("*"), "switchboard:{%2A}");
        assert_eq!(base("%7D"), "switchboard:{%257D}");
        assert_eq!(base("ü"), "switchboard:{%C3%BC}");
    }

    #[test]
    fn names_without_a_project_share_a_slot_that_no_project_has() {
        let names = Names::new("s");
        let all = [names.nodes(), names.projects("l"), names.inboxes(), names.inboxes_expiry_lock()];
        let all = all.into_iter().chain([names.projects_with_kept()]);
        for name in all.chain([names.inboxes_limits()]).chain(names.revocations()) {
            assert!(name.starts_with("s:{*}:"), "{name}");
        }
        assert_eq!(names.inboxes_limits(), "s:{*}:inboxes:limits");
    }

    #[test]
    fn different_targets_with_equal_names_have_different_channels() {
        let names = Names::new("s").project(&ProjectId::new("p").unwrap());
        let targets = [
            Target::Everyone,
            Target::room("7").unwrap(),
            Target::tag("7").unwrap(),
            Target::user("7").unwrap(),
            Target::user("=").unwrap(),
            Target::user("#7").unwrap(),
            Target::shard(&ShardName::new("#7").unwrap()),
            Target::Socket(SocketId::on(NodeId(7))),
        ];
        let mut channels: Vec<String> = targets.iter().map(|target| names.channel(target)).collect();
        assert_eq!(channels[7], names.node_channel(NodeId(7)));
        channels.sort();
        channels.dedup();
        assert_eq!(channels.len(), targets.len());
    }
}
