//! `switchboard disconnect`: closes sockets from a terminal, as a backend.

use serde_json::json;

use crate::args::Disconnect;
use crate::output::Failure;

/// Closes them. How many they are nobody knows: those of other nodes are not counted.
pub(crate) async fn run(disconnect: &Disconnect) -> Result<(), Failure> {
    let Disconnect { way, whom, code, reason } = disconnect;
    match &way.url {
        Some(url) => {
            let body = way.body(whom, json!({ "code": code.0, "reason": reason })).map_err(Failure::Usage)?;
            way.ask(url, "disconnect", body).await.map(drop)
        }
        None => {
            let audience = whom.audience().map_err(Failure::Usage)?;
            let closed = way.dispatcher(false).await?.close_sockets(audience, code.0, reason).await;
            closed.map_err(|error| Failure::Run(error.into()))
        }
    }
}
