//! Messages that wait for users, in Redis.
//!
//! A message is kept and published in one step: nobody can ask between the two. Its number is of the
//! clock of Redis. What is put arrives at each node that has a socket of its users by the bus, at the
//! node that put it as well.

mod adopting;
mod keeper;
mod putting;
mod receipts;
mod scripts;

use std::sync::Arc;

use bytes::{Buf, Bytes};
use metrics::{Counter, counter};
use redis::{Cmd, FromRedisValue, Value};
use switchboard_event::{Audience, Event, MessageNumber, ProjectId, SocketId, Target, UserId};
use switchboard_hub::bus::{Content, Moment, Publication};
use switchboard_hub::inbox::{Kept, Opened, Waiting};
use switchboard_hub::store::Answer;
use switchboard_hub::{Bus, Inbox, InboxLimits};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bridge::Bridges;
use crate::link::{Link, Source};
use crate::names::{Names, ProjectNames};
use crate::options::{ANSWER_WITHIN, Options};
use crate::script::{Script, call, number, was_unknown};
use crate::store::NoAnswer;
use crate::{RedisBus, RedisStore};

pub(crate) use putting::Putting;
use receipts::{Receipt, Receipts};
pub(crate) use scripts::Scripts;

/// Keeps messages for users in Redis. Made by [`Redis::connect`](crate::Redis::connect) if the
/// [options](Options::inbox) say so.
pub struct RedisInbox {
    names: Names,
    limits: InboxLimits,
    bridges: Arc<Bridges>,
    scripts: Arc<Scripts>,
    putting: Putting,
    receipts: Receipts,
    bus: Arc<RedisBus>,
    store: Arc<RedisStore>,
    state: watch::Sender<State>,
    expired: Counter,
    adopted: Counter,
}

#[derive(Clone, Default)]
struct State {
    /// The connection, while it can be asked.
    link: Option<Link>,
    /// How many receipts are written or dropped.
    written: u64,
}

impl RedisInbox {
    pub(crate) fn start(
        names: Names,
        options: &Options,
        limits: InboxLimits,
        source: Arc<Source>,
        (bus, store): (Arc<RedisBus>, Arc<RedisStore>),
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let scripts = Arc::new(Scripts::new());
        let inbox = Arc::new(RedisInbox {
            putting: Putting::new(names.clone(), limits, source.publish_verb(), scripts.clone()),
            receipts: Receipts::new(options.changes_max),
            names,
            limits,
            bridges: bus.bridges().clone(),
            scripts,
            bus,
            store,
            state: watch::Sender::default(),
            expired: counter!("switchboard_inbox_expired_total"),
            adopted: counter!("switchboard_inbox_adopted_total"),
        });
        crate::spawn(stop, keeper::keep(inbox.clone(), source));
        inbox
    }

    /// When it answers.
    pub(crate) async fn up(&self) {
        // Fails only when the inbox is gone.
        let _ = self.state.subscribe().wait_for(|state| state.link.is_some()).await;
    }

    fn link(&self) -> Result<Link, NoAnswer> {
        self.state.borrow().link.clone().ok_or(NoAnswer::Away)
    }

    /// When every receipt so far is written, or none can be.
    async fn written(&self) {
        let asked = self.receipts.count();
        let mut state = self.state.subscribe();
        // Fails only when the inbox is gone, and with it everything that could be waited for.
        let _ = state.wait_for(|state| state.link.is_none() || state.written >= asked).await;
    }

    /// From here on nobody takes the socket for gone, and what is put for its user is heard here.
    async fn is_present(&self) -> Result<(), NoAnswer> {
        self.store.link().await?;
        let ready = async { tokio::join!(self.bus.settled(), self.written()) };
        timeout(ANSWER_WITHIN, ready).await.map(drop).map_err(|_| NoAnswer::Late)
    }

    async fn opened(
        &self,
        project: &ProjectId,
        user: &UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> Result<Opened, NoAnswer> {
        self.is_present().await?;
        self.adopt(project, user).await?;
        let names = self.names.project(project);
        let everyone = names.members(&Target::Everyone);
        // What stands behind a number begins with 0 or 1.
        let from = after.map_or(b"-".to_vec(), |after| [b"(", &after.0.to_be_bytes()[..], b"\xff"].concat());
        let (most, age) = (most.to_string(), self.limits.age_max_ms.to_string());
        let args = [user.as_bytes(), socket.as_bytes(), &from, most.as_bytes(), age.as_bytes()];
        let command = inbox_call(&self.scripts.open, &names, &[everyone], &args);
        let mut messages = Vec::<Value>::from_redis_value(self.ask(&command).await?)
            .map_err(redis::RedisError::from)?
            .into_iter();
        let expired = messages.next().as_ref().and_then(number);
        self.expired.increment(expired.and_then(|expired| expired.try_into().ok()).unwrap_or(0));
        let held_by = messages.next().and_then(|holder| socket_of(&holder));
        let (mut waiting, mut unreadable) = (Vec::new(), Vec::new());
        for message in messages {
            let Value::BulkString(message) = message else { continue };
            match read(message.into()) {
                Ok(message) => waiting.push(message),
                Err(number) => unreadable.push(number),
            }
        }
        if !unreadable.is_empty() {
            tracing::error!(%project, %user, count = unreadable.len(), "what waits cannot be read; it is dropped");
            self.confirm(project, user, unreadable);
        }
        Ok(Opened { messages: waiting, held_by })
    }

    /// The script tells Switchboard nodes alone.
    fn tell_originals(&self, project: &ProjectId, users: &[UserId], number: MessageNumber, event: &Event) {
        if !self.bridges.is_bridged(project) {
            return;
        }
        let audience =
            Audience { to: users.iter().cloned().map(Target::User).collect(), ..Audience::default() };
        let content = Content::Kept { number, event: event.clone() };
        let publication = Publication { project: project.clone(), audience, content };
        if let Err(error) = self.bus.tell_originals(&publication) {
            tracing::debug!(%error, "original servers were not told of a message");
        }
    }

    async fn ask(&self, command: &Cmd) -> Result<Value, NoAnswer> {
        ask_script(&mut self.link()?, &self.scripts, command).await
    }
}

/// The socket that has an inbox; none if it is nobody's, or of who asks.
fn socket_of(holder: &Value) -> Option<SocketId> {
    let Value::BulkString(holder) = holder else { return None };
    Some(SocketId::from_bytes(holder.as_slice().try_into().ok()?))
}

/// Calls a script, and has Redis know it if it does not.
async fn ask_script(link: &mut Link, scripts: &Scripts, command: &Cmd) -> Result<Value, NoAnswer> {
    let answer = match link.ask(command).await {
        Err(error) if was_unknown(&error) => {
            scripts.load(link).await?;
            link.ask(command).await
        }
        answer => answer,
    };
    Ok(answer?)
}

/// A call of a script on the inboxes of a project.
fn inbox_call(script: &Script, names: &ProjectNames, more_keys: &[String], args: &[&[u8]]) -> Cmd {
    let keys = [&names.inbox()[..], more_keys].concat();
    call(script, &keys, &[&[names.base().as_bytes()], args].concat())
}

/// A message as it stands in Redis, or the number of what is none.
fn read(mut message: Bytes) -> Result<Waiting, MessageNumber> {
    let number = MessageNumber(message.try_get_u64().unwrap_or(0));
    let event = Event::read(message).map_err(|_| number)?;
    Ok(Waiting { number, event })
}

impl Inbox for RedisInbox {
    fn put<'a>(&'a self, project: &'a ProjectId, users: &'a [UserId], event: &'a Event) -> Answer<'a, Kept> {
        Box::pin(async move {
            let kept = self.putting.put(&mut self.link()?, project, users, event).await?;
            self.tell_originals(project, users, kept.number, event);
            Ok(kept)
        })
    }

    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> Answer<'a, Opened> {
        Box::pin(async move { Ok(self.opened(project, user, socket, after, most).await?) })
    }

    fn confirm(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>) {
        if !numbers.is_empty() {
            self.receipts.push(project, Receipt { user: user.clone(), numbers, released: None });
        }
    }

    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        let receipt = Receipt { user: user.clone(), numbers: Vec::new(), released: Some(socket) };
        self.receipts.push(project, receipt);
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> Answer<'a, ()> {
        let command = inbox_call(&self.scripts.clear, &self.names.project(project), &[], &[user.as_bytes()]);
        Box::pin(async move {
            self.drop_stored(project, user).await?;
            Ok(self.ask(&command).await.map(drop)?)
        })
    }

    fn has_latecomers(&self) -> bool {
        self.bridges.has_dispatchers()
    }

    fn is_up(&self) -> bool {
        self.state.borrow().link.is_some()
    }

    fn settled(&self) -> Moment<'_> {
        Box::pin(self.written())
    }
}
