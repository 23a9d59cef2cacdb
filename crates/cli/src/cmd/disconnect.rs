//! `switchboard disconnect`: closes sockets, as a backend.

use serde_json::json;

use crate::args::Disconnect;
use crate::output::{Failure, counted};
use crate::streams::print_line;

/// Closes the sockets, and prints how many, as far as it is known.
pub(crate) async fn run(disconnect: &Disconnect) -> Result<(), Failure> {
    let Disconnect { connection, recipients, code, reason } = disconnect;
    match &connection.url {
        Some(url) => {
            let fields = json!({ "code": code.0, "reason": reason });
            let body = connection.body(recipients, fields).map_err(Failure::Usage)?;
            let answer = connection.request(url, "disconnect", body).await?;
            let sockets = counted(answer["sockets_here"].as_u64().unwrap_or(0), "socket", "sockets");
            print_line(format_args!(
                "closed {sockets} of the node at {url}; sockets of other nodes, if there are any, are closed and not counted"
            ));
        }
        None => {
            let audience = recipients.audience().map_err(Failure::Usage)?;
            let closed = connection.dispatcher(false).await?.close_sockets(audience, code.0, reason).await;
            closed.map_err(|error| Failure::Run(error.into()))?;
            print_line("published through Redis; how many sockets are closed is not known");
        }
    }
    Ok(())
}
