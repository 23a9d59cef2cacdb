//! The subscribed channels of this node: those with local members, and for a while those that had some.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Gauge, gauge};
use redis::{ErrorKind, PushInfo, RedisError, RedisResult};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::connection::{OnPush, RedisConnection, Session, Up};
use crate::context::Context;
use crate::options::REPLY_TIMEOUT;

/// Maximum number of channels in one command.
const CHANNELS_MAX: usize = 512;

/// Maximum number of channels that linger. At the bound the oldest is unsubscribed at once.
const LINGERING_MAX: usize = 8192;

/// Called with each push of Redis.
pub(super) type OnMessage = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// The channels to be subscribed, and the progress of the connection.
pub(super) struct Subscriber {
    linger: Duration,
    channels: Mutex<Channels>,
    changed: Notify,
    state: watch::Sender<SubscriberState>,
    subscribed: Gauge,
}

#[derive(Default)]
struct Channels {
    wanted: HashSet<String>,
    /// Wanted channels that may not be subscribed yet.
    added: HashSet<String>,
    /// Channels that are no longer wanted, each with the time until which it stays subscribed.
    lingering: VecDeque<(Instant, String)>,
    /// Channels whose unsubscribe Redis has not confirmed yet.
    unsubscribing: HashSet<String>,
    /// Callers that wait until every earlier message of a channel has arrived. Each gets true if that is certain.
    catching_up: Vec<(String, oneshot::Sender<bool>)>,
    /// There is a connection, so channels that are no longer wanted are subscribed.
    is_serving: bool,
    /// Redis has ended a subscription without a request.
    is_broken: bool,
    /// Number of subscriptions so far.
    count: u64,
}

#[derive(Clone, Copy, Default)]
struct SubscriberState {
    is_up: bool,
    /// Number of subscriptions that are in force.
    applied: u64,
}

impl Subscriber {
    pub(super) fn new(linger: Duration) -> Self {
        Subscriber {
            linger,
            channels: Mutex::default(),
            changed: Notify::new(),
            state: watch::Sender::default(),
            subscribed: gauge!("switchboard_bus_channels"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().expect("no code that holds the channels panics")
    }

    pub(super) fn subscribe(&self, names: impl Iterator<Item = String>) {
        let mut channels = self.lock();
        for name in names {
            channels.added.insert(name.clone());
            channels.wanted.insert(name);
            channels.count += 1;
        }
        self.changed.notify_one();
    }

    /// Ends subscriptions after the linger time, unless they are wanted again by then.
    pub(super) fn unsubscribe(&self, names: impl Iterator<Item = String>) {
        let due = Instant::now() + self.linger;
        let mut channels = self.lock();
        for name in names {
            channels.wanted.remove(&name);
            channels.added.remove(&name);
            if channels.is_serving {
                channels.lingering.push_back((due, name));
            }
        }
        self.changed.notify_one();
    }

    /// Called when Redis has ended a subscription. It does so without a request when another server gets the
    /// channel's slot, and in some versions when a replica becomes the master.
    pub(super) fn on_unsubscribed(&self, channel: &[u8]) {
        let Ok(channel) = std::str::from_utf8(channel) else { return };
        let mut channels = self.lock();
        let was_requested = channels.unsubscribing.remove(channel);
        // If a lingering channel becomes wanted again, it counts as subscribed and is not subscribed anew.
        let lingers = || channels.lingering.iter().any(|(_, name)| name == channel);
        if !was_requested && (channels.wanted.contains(channel) || lingers()) {
            channels.is_broken = true;
            self.changed.notify_one();
        }
    }

    /// Returns true if the channel is, or will be, subscribed.
    pub(super) fn is_wanted(&self, channel: &str) -> bool {
        self.lock().wanted.contains(channel)
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().is_up
    }

    /// Completes once the wanted channels are subscribed.
    pub(super) async fn wait_until_up(&self) {
        // Fails only when the subscriber is gone.
        let _ = self.state.subscribe().wait_for(|state| state.is_up).await;
    }

    /// Completes once all subscriptions so far are in force, or there is no connection.
    pub(super) async fn wait_until_settled(&self) {
        let count = self.lock().count;
        let mut state = self.state.subscribe();
        // Fails only when the subscriber is gone, and with it everything that could be waited for.
        let _ = state.wait_for(|state| !state.is_up || state.applied >= count).await;
    }

    /// Resolves to true once every message that was published to a channel before the call has arrived. Resolves to false
    /// without a subscription.
    pub(super) async fn wait_until_caught_up(&self, channel: String) -> bool {
        let (caught_up, is_certain) = oneshot::channel();
        {
            let mut channels = self.lock();
            if !channels.is_serving {
                return false;
            }
            channels.catching_up.push((channel, caught_up));
        }
        self.changed.notify_one();
        is_certain.await.unwrap_or(false)
    }

    /// Answers the callers that wait for messages under way. Redis confirms a second subscription behind the messages that it
    /// has sent before.
    async fn catch_up(
        &self,
        connection: &mut RedisConnection,
        subscribed: &HashSet<String>,
    ) -> RedisResult<()> {
        let waiting = std::mem::take(&mut self.lock().catching_up);
        let (waiting, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(channel, _)| subscribed.contains(channel));
        let channels: HashSet<&String> = waiting.iter().map(|(channel, _)| channel).collect();
        let channels: Vec<String> = channels.into_iter().cloned().collect();
        for some in channels.chunks(CHANNELS_MAX) {
            connection.subscribe(some).await?;
        }
        let answers = waiting.into_iter().zip(std::iter::repeat(true));
        for ((_, caught_up), is_certain) in answers.chain(others.into_iter().zip(std::iter::repeat(false))) {
            // Fails only when the caller is gone.
            let _ = caught_up.send(is_certain);
        }
        Ok(())
    }

    /// Prepares for a new connection, which has no subscriptions yet.
    fn restart(&self) {
        let mut channels = self.lock();
        channels.added = channels.wanted.clone();
        channels.lingering.clear();
        channels.unsubscribing.clear();
        channels.is_broken = false;
        channels.is_serving = true;
    }

    /// Forgets the subscriptions of a connection that has ended.
    fn stop(&self) {
        let mut channels = self.lock();
        channels.is_serving = false;
        channels.lingering = VecDeque::new();
        channels.catching_up = Vec::new();
    }

    /// Subscribes to added channels and unsubscribes from those that have lingered long enough.
    async fn apply(
        &self,
        connection: &mut RedisConnection,
        subscribed: &mut HashSet<String>,
    ) -> RedisResult<()> {
        let (added, removed, count) = self.take_changes(subscribed);
        for some in added.chunks(CHANNELS_MAX) {
            connection.subscribe(some).await?;
        }
        for some in removed.chunks(CHANNELS_MAX) {
            connection.unsubscribe(some).await?;
        }
        subscribed.extend(added);
        for name in &removed {
            subscribed.remove(name);
        }
        self.subscribed.set(subscribed.len() as f64);
        self.state.send_replace(SubscriberState { is_up: true, applied: count });
        Ok(())
    }

    fn take_changes(&self, subscribed: &HashSet<String>) -> (Vec<String>, Vec<String>, u64) {
        let mut channels = self.lock();
        let Channels { wanted, added, lingering, unsubscribing, count, .. } = &mut *channels;
        let added = added.drain().filter(|name| !subscribed.contains(name)).collect();
        let mut removed = HashSet::new();
        let now = Instant::now();
        let mut excess = lingering.len().saturating_sub(LINGERING_MAX);
        while let Some((_, name)) = lingering.pop_front_if(|(due, _)| *due <= now || excess > 0) {
            excess = excess.saturating_sub(1);
            if subscribed.contains(&name) && !wanted.contains(&name) {
                removed.insert(name);
            }
        }
        unsubscribing.extend(removed.iter().cloned());
        (added, removed.into_iter().collect(), *count)
    }
}

/// Keeps one connection's subscriptions in step with the wanted channels.
pub(super) struct SubscribeSession {
    context: Arc<Context>,
    subscriber: Arc<Subscriber>,
    on_message: OnMessage,
}

impl SubscribeSession {
    pub(super) fn new(context: Arc<Context>, subscriber: Arc<Subscriber>, on_message: OnMessage) -> Self {
        SubscribeSession { context, subscriber, on_message }
    }
}

impl Session for SubscribeSession {
    const CONNECTION: &'static str = "subscriber";
    const LOST: &'static str =
        "subscriber disconnected from Redis; messages from other nodes are lost until it reconnects";

    fn on_push(&self) -> OnPush {
        let on_message = self.on_message.clone();
        Box::new(move |push| on_message(push))
    }

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        let subscriber = &self.subscriber;
        let mut subscribed = HashSet::new();
        subscriber.restart();
        subscriber.apply(&mut connection, &mut subscribed).await?;
        up.set();
        // Publications of other nodes were lost in the meantime.
        self.context.reconnects.record();
        loop {
            let due = subscriber.lock().lingering.front().map(|(due, _)| *due);
            let ping_at = Instant::now() + REPLY_TIMEOUT;
            tokio::select! {
                () = subscriber.changed.notified() => {}
                () = sleep_until(due.unwrap_or(ping_at).min(ping_at)) => {
                    if due.is_none_or(|due| due > Instant::now()) {
                        connection.ping().await?;
                    }
                }
            }
            if subscriber.lock().is_broken {
                return Err(RedisError::from((ErrorKind::Io, "Redis has ended a subscription")));
            }
            subscriber.apply(&mut connection, &mut subscribed).await?;
            subscriber.catch_up(&mut connection, &subscribed).await?;
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.subscriber.stop();
        self.subscriber.state.send_replace(SubscriberState::default());
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: &str = "s:{p}:to:#lobby";

    fn channel() -> std::iter::Once<String> {
        std::iter::once(CHANNEL.into())
    }

    /// A subscriber, and the one channel that it is subscribed to.
    fn subscriber(linger: Duration) -> (Subscriber, HashSet<String>) {
        let subscriber = Subscriber::new(linger);
        subscriber.subscribe(channel());
        subscriber.restart();
        let (added, removed, _) = subscriber.take_changes(&HashSet::new());
        assert_eq!((&added[..], removed.len()), (&[CHANNEL.to_owned()][..], 0));
        (subscriber, added.into_iter().collect())
    }

    fn is_broken_by(subscriber: &Subscriber, channel: &[u8]) -> bool {
        subscriber.on_unsubscribed(channel);
        std::mem::take(&mut subscriber.lock().is_broken)
    }

    #[test]
    fn an_unrequested_unsubscribe_of_a_wanted_or_lingering_channel_breaks_the_connection() {
        let (subscriber, _) = subscriber(Duration::from_secs(3600));
        assert!(is_broken_by(&subscriber, CHANNEL.as_bytes()));
        subscriber.unsubscribe(channel());
        assert!(is_broken_by(&subscriber, CHANNEL.as_bytes()), "while it lingers");
        assert!(!is_broken_by(&subscriber, b"s:{p}:to:#other"));
        assert!(!is_broken_by(&subscriber, b"\xff"));
    }

    #[test]
    fn a_requested_unsubscribe_does_not_break_the_connection() {
        let (subscriber, subscribed) = subscriber(Duration::ZERO);
        subscriber.unsubscribe(channel());
        let (added, removed, _) = subscriber.take_changes(&subscribed);
        assert_eq!((added.len(), &removed[..]), (0, &[CHANNEL.to_owned()][..]));
        subscriber.subscribe(channel());
        assert!(!is_broken_by(&subscriber, CHANNEL.as_bytes()), "although it is wanted again by then");
        assert!(is_broken_by(&subscriber, CHANNEL.as_bytes()), "a second one was not requested");
    }

    #[test]
    fn lingering_channels_are_bounded_and_forgotten_without_a_connection() {
        let (subscriber, _) = subscriber(Duration::from_secs(3600));
        let name = |number: usize| format!("s:{{p}}:to:#{number}");
        let subscribed: HashSet<String> = (0..LINGERING_MAX + 2).map(name).collect();
        subscriber.unsubscribe((0..LINGERING_MAX + 2).map(name));
        let (_, mut removed, _) = subscriber.take_changes(&subscribed);
        removed.sort();
        assert_eq!(removed, [name(0), name(1)], "the oldest two");
        assert_eq!(subscriber.take_changes(&subscribed).1.len(), 0);
        subscriber.stop();
        subscriber.unsubscribe((0..10).map(name));
        assert!(subscriber.lock().lingering.is_empty());
    }
}
