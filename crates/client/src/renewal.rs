//! Replaces the token of an open connection before it expires.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;
use switchboard_event::Payload;
use tokio::sync::mpsc;

use crate::encode;
use crate::shared::{Command, Shared};
use crate::token::{RETRY, TokenSource, refresh_delay};

/// Replaces tokens by `@identify`.
pub(crate) struct Renewal {
    pub(crate) shared: Arc<Shared>,
    /// Weak, so that the client ends with its last clone.
    pub(crate) commands: mpsc::WeakSender<Command>,
}

impl Renewal {
    /// Replaces the token of a connection until the connection ends. Does nothing for a token without expiry.
    pub(crate) async fn run(&self, token: Option<String>) -> Infallible {
        let (Some(source), Some(mut token)) = (&self.shared.options.token, token) else {
            return pending().await;
        };
        while let Some(delay) = refresh_delay(&token, SystemTime::now()) {
            tokio::time::sleep(delay).await;
            while let Err(error) = self.replace(source, &mut token).await {
                self.shared.report(&format!("the token was not replaced: {error}"));
                tokio::time::sleep(RETRY).await;
            }
        }
        pending().await
    }

    /// Fetches the next token and shows it to the server.
    async fn replace(&self, source: &TokenSource, token: &mut String) -> Result<(), String> {
        let next = source.next().await.map_err(|error| error.to_string())?;
        let data = encode::payload(&json!({ "token": next })).expect("a text is JSON");
        let (id, reply) = self.shared.pending.register();
        let sender = self.commands.upgrade().ok_or("the client is closed")?;
        let text = encode::request("@identify", &data, id);
        let sent = sender.send(Command::Send(text)).await;
        drop(sender);
        sent.map_err(|_| "the connection is lost")?;
        let reply = tokio::time::timeout(self.shared.options.request_timeout, reply).await;
        self.shared.pending.remove(id);
        let reply = reply.map_err(|_| "the server does not answer")?.map_err(|_| "the connection is lost")?;
        if let Some(code) = reply.member("code").as_ref().and_then(Payload::to_text) {
            return Err(format!("the server refuses it: {code}"));
        }
        *token = next;
        Ok(())
    }
}
