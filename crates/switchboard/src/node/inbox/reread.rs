//! Reads an inbox again after a redelivery: a backend that saw the user offline may store a message after
//! the login, and pages may have failed to be read.

use std::time::Duration;

use switchboard_backplane::StoredMessage;
use switchboard_log::{limited, printable_error};

use crate::node::inbox::deliveries::PAGE_MAX;
use crate::node::inbox::redelivery::Redelivery;

/// Pause before each read.
const REREAD_DELAYS: [Duration; 3] = [Duration::from_millis(500); 3];

/// Reads the inbox again after each delay, and sends messages that were not sent yet.
pub(crate) async fn reread(redelivery: &mut Redelivery) {
    for delay in REREAD_DELAYS {
        tokio::time::sleep(delay).await;
        redelivery.inbox().settled().await;
        match redelivery.open(None, PAGE_MAX).await {
            Ok(page) => {
                send(redelivery, page.messages).await;
                redelivery.release().await;
            }
            Err(error) => {
                limited!(
                    DEBUG,
                    error = printable_error(&error),
                    "cannot read a user's inbox; its messages stay stored"
                )
            }
        }
    }
}

async fn send(redelivery: &mut Redelivery, page: Vec<StoredMessage>) {
    let sent_before = redelivery.count;
    for StoredMessage { number, event } in page {
        let deliveries = redelivery.deliveries();
        if !deliveries.is_in_flight(number)
            && !deliveries.is_paused(number)
            && let Some(frame) = redelivery.frame(&event)
            && !redelivery.send(number, &event, &frame).await
        {
            break;
        }
    }
    redelivery.notify_hooks(sent_before);
}
