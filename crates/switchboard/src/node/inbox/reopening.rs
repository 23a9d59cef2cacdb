//! Other nodes were not heard for a while: what was kept meanwhile waits, though its users are here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use switchboard_hub::Session;

use super::Arrival;
use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::conn::Peer;
use crate::node::core::Core;

/// How many sockets are told at a time.
const AT_ONCE: usize = 32;

/// Has all sockets of this node that have users told what waits for these. What is not heard while
/// that goes on begins it anew.
pub(crate) fn missed(core: &Arc<Core>) {
    let running = Core::running(core);
    if running.inbox.is_none() {
        return;
    }
    let turn = core.times_missed.fetch_add(1, Ordering::Relaxed) + 1;
    let (core, sessions) = (core.clone(), running.hub.index().all_sessions());
    core.tasks.clone().spawn_service(async move {
        let open_again = async |session| {
            if core.times_missed.load(Ordering::Relaxed) == turn {
                open_again(&core, session).await;
            }
        };
        stream::iter(sessions).for_each_concurrent(AT_ONCE, open_again).await;
    });
}

async fn open_again(core: &Arc<Core>, session: Arc<Session>) {
    if session.outbox.is_closing() || Peer::of(&session).deliveries_if_any().is_none() {
        return;
    }
    let app = App::of(core.clone(), session.project.id.clone());
    let socket = Socket::new(&app, session);
    for user in socket.session().users() {
        if let Some(arrival) = Arrival::begin(&socket) {
            arrival.of(user).tell_again().await;
        }
    }
}
