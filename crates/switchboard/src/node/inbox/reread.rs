//! Messages that backends store late, since they looked for the user before the login; and pages that
//! could not be read.

use std::time::Duration;

use switchboard_backplane::StoredMessage;

use crate::node::inbox::deliveries::PAGE;
use crate::node::inbox::redelivery::Redelivery;

/// The pause before each further read.
const LATE_READS: [Duration; 3] = [Duration::from_millis(500); 3];

/// Reads the inbox again shortly after a redelivery.
pub(crate) async fn read_again(redelivery: &mut Redelivery) {
    for pause in LATE_READS {
        tokio::time::sleep(pause).await;
        redelivery.inbox().settled().await;
        match redelivery.open(None, PAGE).await {
            Ok(opened) => {
                send(redelivery, opened.messages);
                redelivery.end_turn().await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read the inbox of a user; its messages stay stored")
            }
        }
    }
}

fn send(redelivery: &mut Redelivery, page: Vec<StoredMessage>) {
    let before = redelivery.count;
    for StoredMessage { number, event } in page {
        let deliveries = redelivery.deliveries();
        if !deliveries.is_in_flight(number) && !deliveries.holds(number) {
            let frame = redelivery.frame(&event);
            redelivery.send(number, &frame);
        }
    }
    redelivery.notify_hooks(before);
}
