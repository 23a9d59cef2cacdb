//! Lua scripts: each is one atomic step in Redis.
//!
//! Scripts are called by hash. A server that does not know the hash answers `NOSCRIPT` without running
//! anything; [`run`] and [`run_batch`] then load the scripts and call again.

use std::borrow::Cow;

use redis::{Cmd, RedisError, RedisResult, Value};

use super::redis_connection::{Batch, RedisConnection};

/// A script, and the hash by which a server that has loaded it runs it.
pub(crate) struct Script {
    text: Cow<'static, str>,
    hash: String,
}

/// Scripts that are loaded together.
pub(crate) trait ScriptSet: Sync {
    fn scripts(&self) -> Vec<&Script>;
}

impl ScriptSet for Script {
    fn scripts(&self) -> Vec<&Script> {
        vec![self]
    }
}

impl Script {
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Script { hash: redis::Script::new(&text).get_hash().into(), text }
    }

    /// A script that runs even when the server is out of memory: it frees memory, or writes small data that must
    /// not be missing.
    pub(crate) fn allow_oom(text: &str) -> Self {
        Script::new(format!("#!lua flags=allow-oom\n{text}"))
    }

    /// A call of this script. Arguments may be binary.
    pub(crate) fn call(&self, keys: &[String], args: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        for arg in args {
            command.arg(*arg);
        }
        command
    }
}

/// Loads the scripts on every server.
pub(crate) async fn load(connection: &mut RedisConnection, set: &impl ScriptSet) -> RedisResult<()> {
    for script in set.scripts() {
        connection.send(redis::cmd("SCRIPT").arg("LOAD").arg(&*script.text)).await?.extract_error()?;
    }
    Ok(())
}

/// Runs one call of a script of the set.
pub(crate) async fn run(
    connection: &mut RedisConnection,
    set: &impl ScriptSet,
    call: &Cmd,
) -> RedisResult<Value> {
    match connection.query(call).await {
        Err(error) if error.code() == Some(NOSCRIPT) => {
            load(connection, set).await?;
            connection.query(call).await
        }
        reply => reply,
    }
}

/// Runs a batch that calls scripts of the set. Errors of single commands are among the replies. `batch` is
/// called again if a server lacked a script; other calls of the batch then run twice.
pub(crate) async fn run_batch(
    connection: &mut RedisConnection,
    set: &impl ScriptSet,
    mut batch: impl FnMut() -> Batch,
) -> RedisResult<Vec<Value>> {
    let replies = connection.run(batch()).await?;
    if !replies.iter().any(is_noscript) {
        return Ok(replies);
    }
    load(connection, set).await?;
    connection.run(batch()).await
}

const NOSCRIPT: &str = "NOSCRIPT";

fn is_noscript(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == NOSCRIPT)
}

/// Whether a key holds a value of another type than the command expects.
pub(crate) fn is_wrong_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

/// The reply as an integer; `None` if it is another type.
pub(crate) fn integer(reply: &Value) -> Option<i64> {
    match reply {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}
