//! Finds the cause of a failed connection to Redis by probing its address.
//!
//! A server at its limit of clients, or in protected mode, sends its reason at once and closes. The driver writes
//! first, so it sees a broken connection and not the reason. Other mistakes, such as TLS on one side only or another
//! service on the port, look the same. The diagnosis connects once more, without the driver, and reads.

use std::io;
use std::time::Duration;

use redis::{ConnectionAddr, RedisError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the server has to send something before it is sent a `PING`, and half of the time afterwards.
const GREETING_WAIT: Duration = Duration::from_millis(200);

/// Maximum number of bytes that are read. The longest known reason, that of the protected mode, has 970.
const BYTES_MAX: usize = 1024;

/// Returns a better explanation of a failed connection, if the server gives one.
pub(super) async fn diagnose(address: &ConnectionAddr, error: RedisError) -> RedisError {
    let (host, port, is_tls) = match address {
        ConnectionAddr::Tcp(host, port) => (host, *port, false),
        ConnectionAddr::TcpTls { host, port, .. } => (host, *port, true),
        _ => return error,
    };
    if is_clear(&error) {
        return error;
    }
    let found = async {
        match read_greeting(host, port).await {
            Ok(greeting) if !greeting.is_empty() => explanation(&greeting, is_tls),
            _ if !is_tls && answers_tls(host, port).await.unwrap_or(false) => Some(NEEDS_TLS.into()),
            _ => None,
        }
    };
    match timeout(8 * GREETING_WAIT, found).await {
        Ok(Some(text)) => io::Error::other(text).into(),
        _ => error,
    }
}

/// Returns true if the error names the cause: no server listens there, or the server has replied.
fn is_clear(error: &RedisError) -> bool {
    error.is_connection_refusal() || error.code().is_some()
}

/// The bytes that the server sends by itself, or else after a `PING`.
async fn read_greeting(host: &str, port: u16) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    let mut greeting = vec![0; BYTES_MAX];
    let mut length = match timeout(GREETING_WAIT, stream.read(&mut greeting)).await {
        Ok(read) => read?,
        Err(_) => 0,
    };
    if length == 0 {
        stream.write_all(b"PING\r\n").await?;
        length = timeout(2 * GREETING_WAIT, stream.read(&mut greeting)).await.map_err(io::Error::from)??;
    }
    greeting.truncate(length);
    Ok(greeting)
}

/// The types of the TLS records with which a server may answer.
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;

/// Whether the server answers the beginning of a TLS handshake.
async fn answers_tls(host: &str, port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(&client_hello()).await?;
    let kind = timeout(2 * GREETING_WAIT, stream.read_u8()).await.map_err(io::Error::from)??;
    Ok(matches!(kind, ALERT | HANDSHAKE))
}

/// The smallest `ClientHello` (RFC 5246, 7.4.1.2): version 1.2, one cipher suite, no extensions.
fn client_hello() -> Vec<u8> {
    let (version, random) = ([3, 3], [7; 32]);
    let hello = [&version[..], &random, b"\0", b"\0\x02\xc0\x2f", b"\x01\0"].concat();
    let handshake = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    [&[0x16, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

/// `None` if the greeting is that of a Redis server, and client and server agree on TLS.
fn explanation(greeting: &[u8], is_tls: bool) -> Option<String> {
    if greeting.starts_with(&[ALERT, 3]) {
        return (!is_tls).then(|| NEEDS_TLS.into());
    }
    let text = String::from_utf8_lossy(greeting);
    let line = text.lines().next().unwrap_or_default().trim();
    let is_redis = line.starts_with('+') || line.starts_with("-NOAUTH");
    match line.strip_prefix('-') {
        _ if is_redis => is_tls.then(|| NO_TLS.into()),
        Some(refusal) => Some(format!("the server refused the connection: {refusal}")),
        None => Some(format!("this is no Redis server; it sent `{}`", line.escape_debug())),
    }
}

const NEEDS_TLS: &str = "the server expects TLS; its address begins with rediss://";
const NO_TLS: &str = "the server does not use TLS; its address begins with redis://";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_of_a_server_explains_a_failed_connection() {
        for (greeting, is_tls, expected) in [
            ("-ERR max number of clients reached\r\n", false, Some("ERR max number of clients reached")),
            (
                "-DENIED Redis is running in protected mode because\r\n",
                false,
                Some("refused the connection: DENIED"),
            ),
            (
                "-DENIED Redis is running in protected mode because\r\n",
                true,
                Some("refused the connection: DENIED"),
            ),
            ("\u{15}\u{3}\u{3}\0\u{2}\u{2}2", false, Some(NEEDS_TLS)),
            ("\u{15}\u{3}\u{3}\0\u{2}\u{2}2", true, None),
            ("+PONG\r\n", false, None),
            ("-NOAUTH Authentication required.\r\n", false, None),
            ("+PONG\r\n", true, Some(NO_TLS)),
            ("-NOAUTH Authentication required.\r\n", true, Some(NO_TLS)),
            ("HTTP/1.1 400 Bad Request\r\nServer: x\r\n", false, Some("it sent `HTTP/1.1 400 Bad Request`")),
            ("SSH-2.0-OpenSSH_9.2\u{1b}[2J\r\n", true, Some("it sent `SSH-2.0-OpenSSH_9.2\\u{1b}[2J`")),
        ] {
            let found = explanation(greeting.as_bytes(), is_tls);
            match expected {
                Some(expected) => {
                    assert!(found.as_ref().is_some_and(|text| text.contains(expected)), "{found:?}")
                }
                None => assert_eq!(found, None, "{greeting}"),
            }
        }
    }
}
