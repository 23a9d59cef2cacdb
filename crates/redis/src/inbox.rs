//! Messages that wait for users, in Redis.
//!
//! A message is kept and published in one step: nobody can ask between the two. Its number is of the
//! clock of Redis. What is put arrives at each node that has a socket of its users by the bus, at the
//! node that put it as well.

mod adopting;
mod appender;
mod batch_queue;
mod elements;
mod handed_out;
mod limits;
mod opening;
mod receipts;
mod scripts;
mod writer;

use std::sync::Arc;

use metrics::{Counter, counter};
use redis::{Cmd, Value};
use switchboard_backplane::{
    BoxFuture, Bus, Content, Inbox, InboxLimits, InboxPage, Publication, Store, StoreFuture, Stored,
};
use switchboard_event::{Audience, Event, MessageNumber, ProjectId, SocketId, Target, UserId};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connection::script::{Script, call, was_unknown};
use crate::connection::{Link, Source};
use crate::legacy::Bridges;
use crate::names::{Names, ProjectNames};
use crate::options::{ANSWER_WITHIN, Options};
use crate::store::NoAnswer;
use crate::{RedisBus, RedisStore};

pub(crate) use appender::Putting;
use handed_out::HandedOut;
pub(crate) use limits::Heeded;
use limits::Said;
use opening::{Opening, Openings};
use receipts::{Receipt, Receipts};
pub(crate) use scripts::Scripts;

/// Keeps messages for users in Redis. Made by [`Redis::connect`](crate::Redis::connect) if the
/// [options](Options::inbox) say so.
pub struct RedisInbox {
    names: Names,
    limits: InboxLimits,
    said: Said,
    bridges: Arc<Bridges>,
    scripts: Arc<Scripts>,
    putting: Putting,
    openings: Openings,
    handed_out: HandedOut,
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
            openings: Openings::new(names.clone(), scripts.clone()),
            handed_out: HandedOut::default(),
            receipts: Receipts::new(options.changes_max),
            said: Said::new(&names, limits),
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
        crate::spawn(stop, writer::keep(inbox.clone(), source));
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

    /// The script tells Switchboard nodes alone.
    fn tell_originals(&self, project: &ProjectId, users: &[UserId], number: MessageNumber, event: &Event) {
        if !self.bridges.is_bridged(project) {
            return;
        }
        let audience =
            Audience { to: users.iter().cloned().map(Target::User).collect(), ..Audience::default() };
        let content = Content::Stored { number, event: event.clone() };
        let publication = Publication { project: project.clone(), audience, content };
        if let Err(error) = self.bus.tell_originals(&publication) {
            tracing::debug!(%error, "original servers were not told of a message");
        }
    }

    async fn ask(&self, command: &Cmd) -> Result<Value, NoAnswer> {
        ask_script(&mut self.link()?, &self.scripts, command).await
    }
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

/// How long the last number stands, in ms: no longer than Redis can add to its clock.
fn waits_ms(age_max_ms: u64) -> u64 {
    age_max_ms.clamp(1, 1 << 52)
}

impl Inbox for RedisInbox {
    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> StoreFuture<'a, Stored> {
        Box::pin(async move {
            let kept = self.putting.put(project, users, event).await?;
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
    ) -> StoreFuture<'a, InboxPage> {
        // Twice as many elements are asked for.
        let opening = Opening { user: user.clone(), socket, after, most: most.min(i32::MAX as usize) };
        Box::pin(async move { Ok(self.opened(project, &opening).await?) })
    }

    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>) {
        if !numbers.is_empty() {
            let bytes = self.handed_out.arrived(project, user, &numbers);
            self.receipts.push(project, Receipt { user: user.clone(), numbers, bytes, released: None });
        }
    }

    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        self.handed_out.forget(project, user);
        let receipt =
            Receipt { user: user.clone(), numbers: Vec::new(), bytes: None, released: Some(socket) };
        self.receipts.push(project, receipt);
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> StoreFuture<'a, ()> {
        let command = inbox_call(&self.scripts.clear, &self.names.project(project), &[], &[user.as_bytes()]);
        Box::pin(async move {
            self.drop_stored(project, user).await?;
            Ok(self.ask(&command).await.map(drop)?)
        })
    }

    fn has_late_writers(&self) -> bool {
        self.bridges.has_dispatchers()
    }

    fn is_up(&self) -> bool {
        self.state.borrow().link.is_some() && self.store.is_up()
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.written())
    }
}
