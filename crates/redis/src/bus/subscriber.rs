//! Which channels this node hears: those somebody wants, and for a while those somebody wanted.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Gauge, gauge};
use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::RedisBus;
use crate::connection::backoff::Backoff;
use crate::connection::{Connected, Link, Source};
use crate::options::ANSWER_WITHIN;

/// Most channels in one command.
const CHANNELS_MAX: usize = 512;

pub(super) struct Hearing {
    linger: Duration,
    wishes: Mutex<Wishes>,
    changed: Notify,
    state: watch::Sender<State>,
    up: Gauge,
    channels: Gauge,
}

#[derive(Default)]
struct Wishes {
    wanted: HashSet<String>,
    /// Wanted, and perhaps not heard yet.
    fresh: HashSet<String>,
    /// Unwanted, and when that happened.
    stale: VecDeque<(Instant, String)>,
    /// Redis was asked to tell them no more, and has not said that it does not.
    leaving: HashSet<String>,
    /// Redis has stopped to tell what is wanted.
    is_cut: bool,
    /// How many wishes there were so far.
    count: u64,
}

#[derive(Clone, Copy, Default)]
struct State {
    up: bool,
    /// How many wishes are in force.
    settled: u64,
}

impl Hearing {
    pub(super) fn new(linger: Duration) -> Self {
        Hearing {
            linger,
            wishes: Mutex::default(),
            changed: Notify::new(),
            state: watch::Sender::default(),
            up: gauge!("switchboard_redis_up", "part" => "subscribe"),
            channels: gauge!("switchboard_bus_channels"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().expect("no code that holds the wishes panics")
    }

    pub(super) fn want(&self, channels: impl Iterator<Item = String>) {
        let mut wishes = self.lock();
        for channel in channels {
            wishes.fresh.insert(channel.clone());
            wishes.wanted.insert(channel);
            wishes.count += 1;
        }
        self.changed.notify_one();
    }

    pub(super) fn unwant(&self, channels: impl Iterator<Item = String>) {
        let due = Instant::now() + self.linger;
        let mut wishes = self.lock();
        for channel in channels {
            wishes.wanted.remove(&channel);
            wishes.fresh.remove(&channel);
            wishes.stale.push_back((due, channel));
        }
        self.changed.notify_one();
    }

    /// Redis tells a channel no more. It says so unasked when another server gets its slot, in some versions
    /// also to those who hear a replica that becomes the master.
    pub(super) fn left(&self, channel: &[u8]) {
        let Ok(channel) = std::str::from_utf8(channel) else { return };
        let mut wishes = self.lock();
        let is_asked_for = wishes.leaving.remove(channel);
        // What lingers may be wanted again, and would be taken for heard.
        let lingers = || wishes.stale.iter().any(|(_, stale)| stale == channel);
        if !is_asked_for && (wishes.wanted.contains(channel) || lingers()) {
            wishes.is_cut = true;
            self.changed.notify_one();
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().up
    }

    /// When it hears.
    pub(super) async fn up(&self) {
        // Fails only when the bus is gone.
        let _ = self.state.subscribe().wait_for(|state| state.up).await;
    }

    pub(super) async fn settled(&self) {
        let count = self.lock().count;
        let mut state = self.state.subscribe();
        // Fails only when the bus is gone, and with it everything that could be waited for.
        let _ = state.wait_for(|state| !state.up || state.settled >= count).await;
    }

    /// Hears what is wanted through one connection, until it fails.
    async fn hear_through(&self, connected: Connected, back: impl FnOnce()) -> RedisResult<()> {
        let mut link = connected.link.clone();
        let mut heard = HashSet::new();
        {
            let mut wishes = self.lock();
            wishes.fresh = wishes.wanted.clone();
            wishes.stale.clear();
            wishes.leaving.clear();
            wishes.is_cut = false;
        }
        self.apply(&mut link, &mut heard).await?;
        self.up.set(1.0);
        back();
        loop {
            let due = self.lock().stale.front().map(|(due, _)| *due);
            let ping_at = Instant::now() + ANSWER_WITHIN;
            tokio::select! {
                error = connected.cut() => return Err(error),
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(due.unwrap_or(ping_at).min(ping_at)) => {
                    if due.is_none_or(|due| due > Instant::now()) {
                        link.ping().await?;
                    }
                }
            }
            if self.lock().is_cut {
                return Err(RedisError::from((ErrorKind::Io, "Redis has stopped to tell what is wanted")));
            }
            self.apply(&mut link, &mut heard).await?;
        }
    }

    /// Has the connection hear what is wanted and nothing that has long been unwanted.
    async fn apply(&self, link: &mut Link, heard: &mut HashSet<String>) -> RedisResult<()> {
        let (more, less, count) = self.take_changes(heard);
        for some in more.chunks(CHANNELS_MAX) {
            link.subscribe(some).await?;
        }
        for some in less.chunks(CHANNELS_MAX) {
            link.unsubscribe(some).await?;
        }
        heard.extend(more);
        for channel in &less {
            heard.remove(channel);
        }
        self.channels.set(heard.len() as f64);
        self.state.send_replace(State { up: true, settled: count });
        Ok(())
    }

    fn take_changes(&self, heard: &HashSet<String>) -> (Vec<String>, Vec<String>, u64) {
        let mut wishes = self.lock();
        let Wishes { wanted, fresh, stale, leaving, count, .. } = &mut *wishes;
        let more = fresh.drain().filter(|channel| !heard.contains(channel)).collect();
        let mut less = HashSet::new();
        let now = Instant::now();
        while let Some((_, channel)) = stale.pop_front_if(|(due, _)| *due <= now) {
            if heard.contains(&channel) && !wanted.contains(&channel) {
                less.insert(channel);
            }
        }
        leaving.extend(less.iter().cloned());
        (more, less.into_iter().collect(), *count)
    }
}

impl RedisBus {
    /// Hears as long as somebody polls.
    pub(super) async fn hear(self: Arc<Self>, source: Arc<Source>) {
        let mut backoff = Backoff::default();
        loop {
            let bus = Arc::downgrade(&self);
            let on_push = move |info| {
                if let Some(bus) = bus.upgrade() {
                    bus.pushed(info);
                }
            };
            let error = match source.connect(Box::new(on_push)).await {
                Ok(connected) => {
                    let back = || {
                        backoff = Backoff::default();
                        // What others said meanwhile is gone.
                        source.came_back();
                    };
                    let error = self.hearing.hear_through(connected, back).await.err();
                    error.map(|error| error.to_string()).unwrap_or_default()
                }
                Err(error) => error.to_string(),
            };
            let was = self.hearing.state.send_replace(State::default());
            self.hearing.up.set(0.0);
            if was.up {
                tracing::warn!(error, "other nodes are not heard");
            } else {
                tracing::debug!(error, "no connection to hear other nodes through");
            }
            backoff.pause().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: &str = "s:{p}:to:#lobby";

    fn channel() -> std::iter::Once<String> {
        std::iter::once(CHANNEL.into())
    }

    /// Wants the channel, and has it heard.
    fn hearing(linger: Duration) -> (Hearing, HashSet<String>) {
        let hearing = Hearing::new(linger);
        hearing.want(channel());
        let (more, less, _) = hearing.take_changes(&HashSet::new());
        assert_eq!((&more[..], less.len()), (&[CHANNEL.to_owned()][..], 0));
        (hearing, more.into_iter().collect())
    }

    fn is_cut_by(hearing: &Hearing, channel: &[u8]) -> bool {
        hearing.left(channel);
        std::mem::take(&mut hearing.lock().is_cut)
    }

    #[test]
    fn a_server_that_tells_no_more_what_may_be_wanted_is_as_good_as_gone() {
        let (hearing, _) = hearing(Duration::from_secs(3600));
        assert!(is_cut_by(&hearing, CHANNEL.as_bytes()));
        hearing.unwant(channel());
        assert!(is_cut_by(&hearing, CHANNEL.as_bytes()), "while it lingers");
        assert!(!is_cut_by(&hearing, b"s:{p}:to:#other"));
        assert!(!is_cut_by(&hearing, b"\xff"));
    }

    #[test]
    fn a_server_that_does_what_it_was_asked_for_is_not() {
        let (hearing, heard) = hearing(Duration::ZERO);
        hearing.unwant(channel());
        let (more, less, _) = hearing.take_changes(&heard);
        assert_eq!((more.len(), &less[..]), (0, &[CHANNEL.to_owned()][..]));
        hearing.want(channel());
        assert!(!is_cut_by(&hearing, CHANNEL.as_bytes()), "though it is wanted again by then");
        assert!(is_cut_by(&hearing, CHANNEL.as_bytes()), "a second time nobody asked");
    }
}
