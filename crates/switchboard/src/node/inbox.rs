//! Messages that wait for users: heard at once by those who are here, told to those who come, and
//! over when a socket surely has them.

mod arrival;
mod deliveries;
mod holder;
mod keep;
mod late;
mod reopening;
mod telling;

use std::sync::Arc;

use switchboard_event::{Audience, DeliveryClass, Event, MessageNumber, Parcel, Target, UserId};
use switchboard_hub::{JoinError, Session};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::conn::Peer;
use crate::protocols::encode as codec;

pub(crate) use arrival::{Arrival, Redelivery};
pub(crate) use deliveries::Deliveries;
pub use keep::KeepError;
pub(crate) use reopening::missed;

/// Most messages that are asked for at once.
const PAGE: usize = 100;

/// Has the sockets of this node hear a message that waits for their users.
pub(crate) fn hear(app: &App, audience: &Audience, number: MessageNumber, event: Event) {
    let parcel = Parcel::new(event, DeliveryClass::Live);
    for target in &audience.to {
        let Target::User(user) = target else { continue };
        for session in app.hub().members(app.project_id(), &target.clone().into()) {
            let frame = parcel.frame(session.protocol, |event| codec::encode(session.protocol, event));
            Peer::of(&session).deliveries().hear(app.hub(), &session, user, number, frame);
        }
    }
}

/// Makes a socket one of a user's and has it told what waits for the user. False if it was one.
pub(crate) fn enter(socket: &Socket, user: &UserId) -> Result<bool, JoinError> {
    let arrival = Arrival::begin(socket);
    let is_new = socket.app().hub().join(socket.session(), &Target::User(user.clone()))?;
    if let Some(arrival) = arrival.filter(|_| is_new) {
        arrival.of(user.clone()).go_on();
    }
    Ok(is_new)
}

/// Makes a socket none of a user's any more: it is told nothing more of what waits, and what it has not got
/// is for others. False if it was none.
pub(crate) fn leave(app: &App, session: &Arc<Session>, user: &UserId) -> bool {
    let was_in = app.hub().leave(session, &Target::User(user.clone()));
    if was_in && let (Some(inbox), Some(deliveries)) = (app.inbox(), Peer::of(session).deliveries_if_any()) {
        deliveries.stop(user);
        inbox.release(&session.project.id, user, session.id);
    }
    was_in
}

/// Waits until what is sent to a socket of this node reaches it, from whatever node.
pub(crate) async fn settled(app: &App) {
    app.hub().bus().settled().await;
    app.hub().store().settled().await;
}
