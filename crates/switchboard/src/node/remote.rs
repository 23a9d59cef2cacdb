//! Nodes that act for each other: what is to be done to a socket is done where the socket is.
//!
//! A call is about one socket and wants an answer. It is made under an id that looks like that of a
//! socket of this node, so that the answer, sent to just that id, finds its way back as every event
//! does; in a project of the node's own, since a node hears nothing of one that it has no socket in. An order wants no answer and goes to all nodes that care for its audience. What cannot be
//! understood is ignored: it came from a node of another version.

use std::future::{Future, pending};
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use switchboard_backplane::{Content, Publication, PublishError, ReplyAddress};
use switchboard_event::{Audience, Name, Payload, SocketId, Target};
use switchboard_hub::{HubEvent, JoinError, Listener};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::core::Core;
use crate::node::inbox;

pub(crate) use super::calls::Calls;
pub use super::calls::NodeError;
use super::calls::Outcome;
use super::message::{Message, ReturnAddress};
pub(crate) use super::message::{Order, Place, Refusal, Wish};

/// How often the store is asked whether a socket is still there while its node does not answer.
const DOUBT: Duration = Duration::from_secs(2);

/// Hears what other nodes say for as long as the app lives.
pub(crate) fn listener(core: Weak<Core>) -> Listener {
    Box::new(move |notice| {
        let Some(core) = core.upgrade() else { return };
        match notice {
            HubEvent::Publication(Publication { project, audience, content }) => {
                App::of(core, project).told(&audience, content);
            }
            HubEvent::Missed => {
                core.rosters.missed(&core);
                inbox::missed(&core);
            }
        }
    })
}

impl App {
    /// Has another node do something to one of its sockets.
    pub(crate) async fn call(
        &self,
        id: SocketId,
        wish: Wish<&Payload>,
        within: Duration,
    ) -> Result<Outcome, NodeError> {
        let (bus, calls) = (self.hub().bus(), &self.core().calls);
        let call = calls.open(bus.node(), self.limits().calls_pending_max)?;
        let home = tokio::time::timeout(within, calls.home(&**bus)).await;
        let project = home.map_err(|_| NodeError::Silent(within))?.to_string();
        let answer_to = ReturnAddress { project, call: call.id };
        self.say(&Target::Socket(id).into(), &Message::Call { answer_to, wish })?;
        tokio::select! {
            outcome = call.outcome(within) => outcome,
            () = self.is_gone(id) => Ok(Err(Refusal::Gone)),
        }
    }

    /// Begins a call that somebody who is no node answers: where to, and what, or none if that does not
    /// come within the time of a request.
    pub(crate) fn call_outside(
        &self,
    ) -> Result<(ReplyAddress, impl Future<Output = Option<Payload>> + Send + '_), NodeError> {
        let calls = &self.core().calls;
        let call = calls.open(self.hub().bus().node(), self.limits().calls_pending_max)?;
        let answer_to = ReplyAddress { project: calls.address().clone(), call: call.id };
        let outcome = call.outcome(self.limits().request_timeout);
        Ok((answer_to, async { outcome.await.ok()?.ok() }))
    }

    /// Has answers from outside be heard.
    pub(crate) async fn hear_answers(&self) {
        self.core().calls.home(&**self.hub().bus()).await;
    }

    /// Comes when the store does not know a socket any more. Its node may be unable to say so: it is
    /// gone itself, or hears nothing of the project since that was its last socket there.
    async fn is_gone(&self, id: SocketId) {
        if !self.shares_store() {
            return pending().await;
        }
        let target = Target::Socket(id);
        loop {
            tokio::time::sleep(DOUBT).await;
            if let Ok(0) = self.hub().store().count(self.project_id(), &target).await {
                return;
            }
        }
    }

    /// Has all other nodes do something to their sockets of an audience.
    pub(crate) fn order(&self, audience: &Audience, order: Order) -> Result<(), PublishError> {
        self.say(audience, &Message::<Payload>::Order(order))
    }

    fn say<D: Serialize>(&self, audience: &Audience, message: &Message<D>) -> Result<(), PublishError> {
        let said = serde_json::to_vec(message).expect("texts, numbers and payloads are JSON");
        self.hub().publish(self.project_id(), audience, Content::Control(said.into()))
    }

    /// Takes what is no event from another node, or from a backend.
    fn told(&self, audience: &Audience, content: Content) {
        match content {
            Content::Control(said) => self.hear(audience, &said),
            Content::Close { code, reason } => {
                self.close_here(audience, code, &reason);
            }
            Content::Answer(data) => self.resolve(audience, Ok(data)),
            Content::ShardChanged(shard) => self.core().rosters.changed_elsewhere(self, &shard),
            Content::Stored { number, event } => inbox::hear(self, audience, number, event),
            Content::Event { .. } => {}
        }
    }

    fn hear(&self, audience: &Audience, said: &Bytes) {
        let message: Message<&RawValue> = match serde_json::from_slice(said) {
            Ok(message) => message,
            Err(error) => return tracing::debug!(%error, "another node said something unknown"),
        };
        match (message, &*audience.to) {
            (Message::Refused(refusal), _) => self.resolve(audience, Err(refusal)),
            (Message::Call { answer_to, wish }, [Target::Socket(id)]) => match wish {
                Wish::Ask { event, data, timeout_ms } => {
                    let timeout = Duration::from_millis(timeout_ms);
                    self.ask_for(answer_to, *id, &event, Payload::slice_of(said, data), timeout);
                }
                Wish::Join(place) => {
                    self.change_for(&answer_to, &place, |target| self.enter_here(*id, target));
                }
                Wish::Leave(place) => {
                    self.change_for(&answer_to, &place, |target| Ok(self.exit_here(*id, target)));
                }
            },
            (Message::Order(order), _) => {
                self.obey(audience, &order);
            }
            _ => tracing::debug!("another node said something to nobody in particular"),
        }
    }

    fn resolve(&self, audience: &Audience, outcome: Outcome) {
        if let [Target::Socket(call)] = *audience.to {
            self.core().calls.resolve(call, outcome);
        }
    }

    /// Asks a client of this node for another one.
    fn ask_for(&self, answer_to: ReturnAddress, id: SocketId, event: &str, data: Payload, timeout: Duration) {
        let Ok(event) = Name::new(event) else { return };
        let Some(socket) = self.socket(id) else { return self.answer(&answer_to, Err(Refusal::Gone)) };
        let app = self.clone();
        self.core().tasks.spawn(async move {
            let answer = socket.ask(timeout, &event, &data).await;
            app.answer(&answer_to, answer.map_err(Refusal::from));
        });
    }

    /// Brings a socket of this node in, or takes it out, for another one.
    fn change_for(
        &self,
        answer_to: &ReturnAddress,
        place: &Place,
        change: impl FnOnce(&Target) -> Result<bool, JoinError>,
    ) {
        let Ok(target) = place.target() else { return };
        let changed = change(&target).map_err(Refusal::from);
        self.answer(answer_to, changed.map(|changed| Payload::of(&changed).expect("a bool is JSON")));
    }

    /// Who asked waits in vain if the answer is lost, but not for ever.
    fn answer(&self, answer_to: &ReturnAddress, outcome: Outcome) {
        let Ok(home) = Name::new(&answer_to.project) else { return };
        let audience = Target::Socket(answer_to.call).into();
        let said = match outcome {
            Ok(data) => self.hub().publish(&home, &audience, Content::Answer(data)),
            Err(refusal) => self.project(&home).say(&audience, &Message::<Payload>::Refused(refusal)),
        };
        if let Err(error) = said {
            tracing::debug!(%error, "an answer to another node was lost");
        }
    }

    /// Does to the sockets of this node what all nodes are to do. Returns how many it was done to.
    pub(crate) fn obey(&self, audience: &Audience, order: &Order) -> usize {
        match order {
            Order::Clear => {
                audience.to.iter().map(|target| self.hub().clear(self.project_id(), target)).sum()
            }
        }
    }

    /// Closes the sockets of an audience on this node. Returns how many that are.
    pub(crate) fn close_here(&self, audience: &Audience, code: u16, reason: &str) -> usize {
        let mut members = self.hub().members(self.project_id(), audience);
        members.retain(|session| !session.outbox.is_closing());
        let count = members.len();
        members.into_iter().for_each(|session| Socket::new(self, session).close(code, reason));
        count
    }
}
