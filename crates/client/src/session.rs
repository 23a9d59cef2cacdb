//! The session at the server, which the client resumes after it has lost its connection.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use switchboard_event::Payload;
use tokio::time::Instant;

/// The event with which the server offers a ticket.
pub(crate) const SESSION: &str = "@session";

/// The ticket of the current session, if the server has offered one.
#[derive(Default)]
pub(crate) struct Session(Mutex<State>);

#[derive(Default)]
struct State {
    ticket: Option<String>,
    keep: Duration,
    /// When the connection was lost.
    lost: Option<Instant>,
}

#[derive(Deserialize)]
struct Offer {
    ticket: Option<String>,
    #[serde(default)]
    seconds: u64,
    #[serde(default)]
    resumed: bool,
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code that holds the session panics")
    }

    /// Takes the data of `@session`. Returns true if the session was resumed.
    pub(crate) fn begin(&self, data: &Payload) -> bool {
        let Ok(Offer { ticket, seconds, resumed }) = data.to() else { return false };
        *self.state() = State { ticket, keep: Duration::from_secs(seconds), lost: None };
        resumed
    }

    /// The connection is lost: from now on the server keeps the session for a while.
    pub(crate) fn lose(&self) {
        let mut state = self.state();
        state.lost = state.lost.or_else(|| Some(Instant::now()));
    }

    /// The ticket, as long as the server keeps the session.
    pub(crate) fn ticket(&self) -> Option<String> {
        let state = self.state();
        let is_over = state.lost.is_some_and(|lost| lost.elapsed() >= state.keep);
        state.ticket.clone().filter(|_| !is_over)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_shown_for_as_long_as_the_server_keeps_the_session() {
        let session = Session::default();
        assert_eq!(session.ticket(), None);
        let offer = |resumed| json!({ "ticket": "t", "seconds": 60, "resumed": resumed });
        assert!(!session.begin(&Payload::of(&offer(false)).unwrap()));
        tokio::time::advance(Duration::from_secs(1000)).await;
        session.lose();
        tokio::time::advance(Duration::from_secs(59)).await;
        session.lose();
        assert_eq!(session.ticket().as_deref(), Some("t"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(session.ticket(), None);
        assert!(session.begin(&Payload::of(&offer(true)).unwrap()));
        assert_eq!(session.ticket().as_deref(), Some("t"));
    }

    #[test]
    fn an_offer_without_a_ticket_or_of_another_form_is_no_session() {
        let session = Session::default();
        for data in [json!({ "resumed": false, "reason": "off" }), json!(7), json!({ "ticket": 7 })] {
            assert!(!session.begin(&Payload::of(&data).unwrap()));
            assert_eq!(session.ticket(), None);
        }
    }
}
