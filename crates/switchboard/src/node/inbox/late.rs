//! What backends put in late: they looked for the user before the socket came. And what could not be read then.

use std::time::Duration;

use switchboard_backplane::StoredMessage;

use super::PAGE;
use super::telling::Telling;

/// When to look again.
const LATE_LOOKS: [Duration; 3] = [Duration::from_millis(500); 3];

/// Looks again shortly after a socket was told.
pub(super) async fn look_again(telling: &mut Telling) {
    for pause in LATE_LOOKS {
        tokio::time::sleep(pause).await;
        telling.inbox().settled().await;
        match telling.open(None, PAGE).await {
            Ok(opened) => {
                tell(telling, opened.messages);
                telling.give_back().await;
            }
            Err(error) => tracing::debug!(%error, "what waits for a user could not be read; it waits on"),
        }
    }
}

fn tell(telling: &mut Telling, page: Vec<StoredMessage>) {
    let before = telling.count;
    for StoredMessage { number, event } in page {
        let deliveries = telling.deliveries();
        if !deliveries.knows(number) && !deliveries.holds(number) {
            let frame = telling.frame(&event);
            telling.tell(number, &frame);
        }
    }
    telling.tell_hooks(before);
}
