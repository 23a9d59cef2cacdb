//! A script is one step in Redis; how it is called.

use std::borrow::Cow;

use redis::{Cmd, RedisError, RedisResult, Value};

use super::redis_connection::Link;

/// A script, and the name by which a server that has it is asked to run it.
pub(crate) struct Script {
    text: Cow<'static, str>,
    hash: String,
}

impl Script {
    pub(crate) fn of(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Script { hash: redis::Script::new(&text).get_hash().into(), text }
    }

    /// One that a server runs though its memory is full: who could not write down who is here, or take out what
    /// waits, would have it stay full.
    pub(crate) fn even_if_full(text: &str) -> Self {
        Script::of(format!("#!lua flags=allow-oom\n{text}"))
    }
}

/// Has every server know them.
pub(crate) async fn load(link: &mut Link, scripts: &[&Script]) -> RedisResult<()> {
    for script in scripts {
        link.command(redis::cmd("SCRIPT").arg("LOAD").arg(&*script.text)).await?.extract_error()?;
    }
    Ok(())
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

/// Runs one script, and has Redis know it if it does not.
pub(crate) async fn run(
    link: &mut Link,
    script: &Script,
    keys: &[String],
    args: &[&[u8]],
) -> RedisResult<Value> {
    let command = call(script, keys, args);
    match link.ask(&command).await {
        Err(error) if was_unknown(&error) => {
            load(link, &[script]).await?;
            link.ask(&command).await
        }
        answer => answer,
    }
}

/// Whether the server does not know the script.
pub(crate) fn is_unknown(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// Whether it failed for that alone, and so has done nothing.
pub(crate) fn was_unknown(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// Whether it refused since a key holds something else.
pub(crate) fn is_wrong_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

/// What a script answered, as a number; none if it answered something else.
pub(crate) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}
