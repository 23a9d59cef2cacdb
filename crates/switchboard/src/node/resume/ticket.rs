//! Session tickets: the proof with which a client takes its session over after a drop.
//!
//! A ticket is bound to a session, to its project and to the number of times it was resumed, so it can be used once. Its
//! key is made at the start of the node, which also holds the sessions: neither outlives the process.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use switchboard_event::{ProjectId, SocketId};

const ID_LEN: usize = 16;
const CLAIM_LEN: usize = ID_LEN + 4;
const TICKET_LEN: usize = CLAIM_LEN + 32;

/// The claims of a ticket. [`TicketKey::verify`] checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) session: SocketId,
    /// How often the session was resumed before the ticket was issued.
    pub(crate) epoch: u32,
}

/// The key of a node's tickets.
pub(crate) struct TicketKey(hmac::Key);

impl TicketKey {
    pub(crate) fn generate() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        TicketKey(key.expect("the operating system provides random bytes"))
    }

    /// The ticket as text: URL-safe characters, as subprotocols may contain them.
    pub(crate) fn issue(&self, ticket: Ticket, project: &ProjectId) -> String {
        let mut bytes = [0; TICKET_LEN];
        let (claim, tag) = bytes.split_at_mut(CLAIM_LEN);
        claim[..ID_LEN].copy_from_slice(ticket.session.as_bytes());
        claim[ID_LEN..].copy_from_slice(&ticket.epoch.to_be_bytes());
        tag.copy_from_slice(hmac::sign(&self.0, &signed(claim, project)).as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns true if this node has issued the ticket with this text for the project.
    pub(crate) fn verify(&self, text: &str, project: &ProjectId) -> bool {
        let Some(bytes) = decode(text) else { return false };
        let (claim, tag) = bytes.split_at(CLAIM_LEN);
        hmac::verify(&self.0, &signed(claim, project), tag).is_ok()
    }
}

impl Ticket {
    /// Reads a ticket without checking its signature; `None` if the text is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes = decode(text)?;
        let (id, rest) = bytes.split_first_chunk::<ID_LEN>()?;
        let (epoch, _) = rest.split_first_chunk::<4>()?;
        Some(Ticket { session: SocketId::from_bytes(*id), epoch: u32::from_be_bytes(*epoch) })
    }
}

fn decode(text: &str) -> Option<[u8; TICKET_LEN]> {
    let mut bytes = [0; TICKET_LEN];
    let len = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (len == TICKET_LEN).then_some(bytes)
}

/// The bytes that the signature covers.
fn signed(claim: &[u8], project: &ProjectId) -> Vec<u8> {
    [claim, project.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_valid_for_its_key_and_project_only() {
        let (key, other) = (TicketKey::generate(), TicketKey::generate());
        let [one, two] = ["one", "two"].map(|name| ProjectId::new(name).unwrap());
        let ticket = Ticket { session: SocketId::random(), epoch: 7 };
        let text = key.issue(ticket, &one);
        assert_eq!(text.len(), 70);
        assert_eq!(Ticket::read(&text), Some(ticket));
        assert!(key.verify(&text, &one));
        assert!(!key.verify(&text, &two) && !other.verify(&text, &one));
    }

    #[test]
    fn a_ticket_with_any_changed_or_missing_character_is_invalid() {
        let (key, project) = (TicketKey::generate(), ProjectId::new("p").unwrap());
        let text = key.issue(Ticket { session: SocketId::random(), epoch: 0 }, &project);
        for place in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert!(!key.verify(str::from_utf8(&forged).unwrap(), &project), "{place}");
        }
        for bad in [&text[1..], &text[..69], &format!("{text}A"), &"A".repeat(10_000), "", "é", "===="] {
            assert!(!key.verify(bad, &project), "{bad}");
        }
        assert_eq!(Ticket::read("A"), None);
    }
}
