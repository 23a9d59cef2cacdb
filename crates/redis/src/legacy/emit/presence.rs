//! Sockets and users of original nodes: the entries of their keys that are not copies of Switchboard's.
//!
//! Keys are scanned in portions, so that Redis serves other clients in between. Switchboard's own keys are read
//! afterwards. An own entry is written before its copy, so every copy is recognized, unless its socket leaves between
//! the two reads.

use std::borrow::Cow;
use std::collections::BTreeSet;

use redis::{RedisResult, Value, cmd};
use serde::Deserialize;
use switchboard_event::{SocketId, Target, UserId};

use super::keys::EmitKeys;
use crate::connection::RedisConnection;
use crate::names::{ProjectNames, name};

/// Approximate number of entries in one portion.
const PORTION: usize = 1000;

/// A user in the hash of original nodes.
#[derive(Deserialize)]
struct UserEntry<'a> {
    #[serde(borrow, rename = "socketId")]
    socket: Cow<'a, str>,
}

/// The sockets of original nodes in a target.
pub(super) async fn sockets(
    connection: &mut RedisConnection,
    keys: &EmitKeys,
    names: &ProjectNames,
    target: &Target,
) -> RedisResult<BTreeSet<SocketId>> {
    let key = keys.of(target);
    let texts = match target {
        Target::Everyone => scan(connection, "HSCAN", &key).await?,
        Target::Room(_) | Target::Tag(_) => scan(connection, "SSCAN", &key).await?,
        Target::Socket(id) => {
            let id = id.to_string();
            let exists: bool = connection.query(cmd("HEXISTS").arg(key).arg(&id)).await?;
            exists.then(|| id.into()).into_iter().collect()
        }
        Target::User(user) => {
            let entry: Option<Vec<u8>> = connection.query(cmd("HGET").arg(key).arg(&**user)).await?;
            let socket = entry.and_then(|entry| {
                let entry: UserEntry<'_> = serde_json::from_slice(&entry).ok()?;
                Some(entry.socket.into_owned().into())
            });
            socket.into_iter().collect()
        }
    };
    let id = |text: Vec<u8>| std::str::from_utf8(&text).ok()?.parse().ok();
    let ids = texts.into_iter().filter_map(id).collect();
    let ours = match target {
        Target::Socket(_) => names.members(&Target::Everyone),
        target => names.members(target),
    };
    without_ours(connection, &ours, ids, |id: &SocketId| id.as_bytes()).await
}

/// The users of original nodes that have no socket on Switchboard nodes.
pub(super) async fn users(
    connection: &mut RedisConnection,
    keys: &EmitKeys,
    names: &ProjectNames,
) -> RedisResult<BTreeSet<UserId>> {
    let users = scan(connection, "HSCAN", &keys.users).await?.into_iter().filter_map(name).collect();
    without_ours(connection, &names.users(), users, |user: &UserId| user.as_bytes()).await
}

/// The members of a set, or the fields of a hash. Some may be listed twice.
async fn scan(connection: &mut RedisConnection, verb: &str, key: &str) -> RedisResult<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut cursor = String::from("0");
    loop {
        let (next, portion): (String, Vec<Vec<u8>>) =
            connection.query(cmd(verb).arg(key).arg(&cursor).arg("COUNT").arg(PORTION)).await?;
        // A hash is listed as fields and values, alternating.
        found.extend(portion.into_iter().step_by(if verb == "HSCAN" { 2 } else { 1 }));
        if next == "0" {
            return Ok(found);
        }
        cursor = next;
    }
}

/// The items that are not in a sorted set of ours.
async fn without_ours<T: Ord>(
    connection: &mut RedisConnection,
    ours: &str,
    mut found: BTreeSet<T>,
    bytes: impl Fn(&T) -> &[u8],
) -> RedisResult<BTreeSet<T>> {
    let mut theirs = BTreeSet::new();
    while !found.is_empty() {
        let portion: Vec<T> = std::iter::from_fn(|| found.pop_first()).take(PORTION).collect();
        let mut command = cmd("ZMSCORE");
        command.arg(ours);
        portion.iter().for_each(|item| {
            command.arg(bytes(item));
        });
        let scores: Vec<Value> = connection.query(&command).await?;
        let with_scores = portion.into_iter().zip(scores);
        theirs.extend(with_scores.filter(|(_, score)| *score == Value::Nil).map(|(item, _)| item));
    }
    Ok(theirs)
}
