//! `switchboard disconnect`: closes sockets, as a backend.

use serde_json::json;

use crate::args::Disconnect;
use crate::output::Failure;

/// Closes the sockets. It prints no number, because sockets of other nodes are not counted.
pub(crate) async fn run(disconnect: &Disconnect) -> Result<(), Failure> {
    let Disconnect { connection, recipients, code, reason } = disconnect;
    match &connection.url {
        Some(url) => {
            let fields = json!({ "code": code.0, "reason": reason });
            let body = connection.body(recipients, fields).map_err(Failure::Usage)?;
            connection.request(url, "disconnect", body).await.map(drop)
        }
        None => {
            let audience = recipients.audience().map_err(Failure::Usage)?;
            let closed = connection.dispatcher(false).await?.close_sockets(audience, code.0, reason).await;
            closed.map_err(|error| Failure::Run(error.into()))
        }
    }
}
