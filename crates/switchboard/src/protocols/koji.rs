//! The Koji protocol: pages without a backend get a seat on a shard, receive its member list, and send
//! to all of the shard or to some. Wire format: `spec/koji.md`.

mod client_state;
pub(crate) mod connect_params;
pub(crate) mod encode;
pub(crate) mod http_routes;
mod identify;
mod member_entry;
pub(crate) mod member_lists;
pub(crate) mod options;
pub(crate) mod queries;
pub(crate) mod receive;
pub(crate) mod relay;
pub(crate) mod rules;
mod seat;
mod shard_membership;

use std::time::Duration;

use http::Uri;
use switchboard_event::{Protocol, SocketId};
use switchboard_hub::Session;

use crate::api::app::App;
use crate::api::setup::Setup;
use crate::node::Node;
use crate::protocols::admission::Admission;
use crate::protocols::config::{KeepAlive, ProtocolConfig};
use crate::protocols::koji::client_state::{ClientState, client_of};
use crate::protocols::koji::connect_params::{ConnectParams, ParamsError};
use crate::protocols::koji::identify::identify;
use crate::protocols::koji::options::Koji;
use crate::protocols::koji::relay::relay_unhandled;
use crate::protocols::koji::seat::take_seat;
use crate::protocols::koji::shard_membership::ShardMembership;
use crate::routing::handler::AnyHandler;

/// Longest frame of a client, in bytes.
const FRAME_BYTES_MAX: usize = 512 * 1024;

/// Pings without an answer after which a client is cut.
const MISSES_MAX: u8 = 2;

pub(crate) fn config(app: &App) -> ProtocolConfig {
    let koji = app.setup().extension::<Koji>();
    ProtocolConfig {
        router: koji.map(|koji| koji.router.clone()).unwrap_or_default(),
        fallback: AnyHandler::new(relay_unhandled),
        keep_alive: KeepAlive::ping(
            koji.map_or(Duration::ZERO, |koji| koji.settings.ping_interval),
            MISSES_MAX,
        ),
        redelivery_interval: Duration::ZERO,
        frame_bytes_max: app.limits().message_bytes_max.min(FRAME_BYTES_MAX),
    }
}

/// The ticket of a handshake, if it is for this protocol.
pub(crate) fn ticket(setup: &Setup, uri: &Uri) -> Option<Result<Box<ConnectParams>, ParamsError>> {
    let koji = setup.extension::<Koji>().filter(|_| ConnectParams::matches(uri))?;
    Some(ConnectParams::of(uri, &koji.settings).map(Box::new))
}

/// Takes a seat for a client. The error is the reason to close with.
pub(crate) async fn admit(
    node: &Node,
    mut ticket: Box<ConnectParams>,
    id: SocketId,
) -> Result<Admission, String> {
    let seat = take_seat(node, &ticket, id).await.map_err(|no_seat| {
        tracing::warn!(project = %ticket.project, error = %no_seat, "no seat for a client; it is closed with 1013");
        no_seat.to_string()
    })?;
    let token = ticket.token.take();
    Ok(Admission {
        protocol: Protocol::Koji,
        project: ticket.project.clone(),
        state: Box::new(ClientState::new(&ticket, seat.shard.clone(), &seat.entry)),
        greeting: Some(seat.greeting()),
        on_connected: Box::new(move |socket| {
            let place = ShardMembership::new(socket.node(), socket.session(), seat);
            if let Some(token) = token {
                identify(socket, token);
            }
            Some(Box::new(place))
        }),
    })
}

/// Records that bytes of a client arrived, for the member list.
pub(crate) fn received_bytes(session: &Session) {
    if let Some(client) = client_of(session) {
        client.heard();
    }
}
