//! Who is on original nodes: what their keys hold beside copies of ours.
//!
//! Keys are read a part at a time, so that Redis serves others meanwhile. What is ours is asked
//! afterwards: it is written before its copy, so no copy is taken for one of theirs, but for a socket
//! that leaves in between.

use std::borrow::Cow;
use std::collections::BTreeSet;

use redis::{RedisResult, Value, cmd};
use serde::Deserialize;
use switchboard_event::{SocketId, Target, UserId};

use super::EmitBridge;
use crate::connection::Link;
use crate::names::{ProjectNames, name};

/// About how many entries Redis reads at a time.
const PART: usize = 1000;

/// What original nodes know of a user.
#[derive(Deserialize)]
struct UserEntry<'a> {
    #[serde(borrow, rename = "socketId")]
    socket: Cow<'a, str>,
}

/// The sockets of original nodes in a target.
pub(crate) async fn sockets(
    link: &mut Link,
    bridge: &EmitBridge,
    names: &ProjectNames,
    target: &Target,
) -> RedisResult<BTreeSet<SocketId>> {
    let key = bridge.key(target);
    let texts = match target {
        Target::Everyone => scan(link, "HSCAN", &key).await?,
        Target::Room(_) | Target::Tag(_) => scan(link, "SSCAN", &key).await?,
        Target::Socket(id) => {
            let id = id.to_string();
            let exists: bool = link.ask(cmd("HEXISTS").arg(key).arg(&id)).await?;
            exists.then(|| id.into()).into_iter().collect()
        }
        Target::User(user) => {
            let entry: Option<Vec<u8>> = link.ask(cmd("HGET").arg(key).arg(&**user)).await?;
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
    beside(link, &ours, ids, |id: &SocketId| id.as_bytes()).await
}

/// The users that original nodes know, and none of ours.
pub(crate) async fn users(
    link: &mut Link,
    bridge: &EmitBridge,
    names: &ProjectNames,
) -> RedisResult<BTreeSet<UserId>> {
    let users = scan(link, "HSCAN", &bridge.users()).await?.into_iter().filter_map(name).collect();
    beside(link, &names.users(), users, |user: &UserId| user.as_bytes()).await
}

/// The members of a set, or the fields of a hash; some perhaps twice.
async fn scan(link: &mut Link, verb: &str, key: &str) -> RedisResult<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut cursor = String::from("0");
    loop {
        let (next, part): (String, Vec<Vec<u8>>) =
            link.ask(cmd(verb).arg(key).arg(&cursor).arg("COUNT").arg(PART)).await?;
        // A hash answers with each field's value behind it.
        found.extend(part.into_iter().step_by(if verb == "HSCAN" { 2 } else { 1 }));
        if next == "0" {
            return Ok(found);
        }
        cursor = next;
    }
}

/// What is not in a sorted set of ours.
async fn beside<T: Ord>(
    link: &mut Link,
    ours: &str,
    mut found: BTreeSet<T>,
    bytes: impl Fn(&T) -> &[u8],
) -> RedisResult<BTreeSet<T>> {
    let mut theirs = BTreeSet::new();
    while !found.is_empty() {
        let part: Vec<T> = std::iter::from_fn(|| found.pop_first()).take(PART).collect();
        let mut command = cmd("ZMSCORE");
        command.arg(ours);
        part.iter().for_each(|item| {
            command.arg(bytes(item));
        });
        let scores: Vec<Value> = link.ask(&command).await?;
        let with_scores = part.into_iter().zip(scores);
        theirs.extend(with_scores.filter(|(_, score)| *score == Value::Nil).map(|(item, _)| item));
    }
    Ok(theirs)
}
