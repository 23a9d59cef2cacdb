//! Asking clients whether they are there, in their own words.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_hub::Session;
use switchboard_wire::mesa::write_heartbeat;
use switchboard_ws::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::conn::Peer;

/// Asks once, or closes who has not answered too often. False if it is closed now.
pub(crate) fn beat(app: &App, session: &Arc<Session>, attempts_max: u32) -> bool {
    let Some(client) = Peer::of(session).mesa() else { return false };
    let attempts = match client.answered.swap(false, Ordering::Relaxed) {
        true => 0,
        false => client.attempts.load(Ordering::Relaxed) + 1,
    };
    client.attempts.store(attempts, Ordering::Relaxed);
    if attempts > attempts_max {
        Socket::new(app, session.clone()).close_with(CloseCode::NO_STATUS, "");
        return false;
    }
    let tries = (attempts > 0).then_some((attempts, attempts_max));
    let frame = encode_with(OpCode::Text, 48, |out| write_heartbeat(out, tries));
    app.hub().deliver_ahead(session, &frame);
    true
}
