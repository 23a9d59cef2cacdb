//! The interface to receivers other than worker groups: each report is published to one of them, at most once.

use futures_util::future::BoxFuture;
use redis::{Cmd, RedisResult};
use switchboard_backplane::Report;
use switchboard_event::ProjectId;
use tokio::time::Instant;

use crate::connection::RedisConnection;

/// Receivers that announce themselves on a channel.
pub(crate) trait DirectReceivers: Send + Sync {
    /// The project of which they receive reports.
    fn project(&self) -> &ProjectId;

    /// The channel on which they announce themselves.
    fn channel(&self) -> String;

    /// Queues an announcement for the next [`refresh`](Self::refresh).
    fn queue_announcement(&self, message: Vec<u8>);

    /// Removes all receivers, and reads them again at the next refresh. Called after a reconnect, because
    /// announcements may have been missed.
    fn reconnected(&self);

    /// Time of the next refresh if there is no announcement before.
    fn due(&self) -> Option<Instant>;

    /// Updates the list of receivers. Returns whether it may have changed.
    fn refresh<'a>(&'a self, connection: &'a mut RedisConnection) -> BoxFuture<'a, RedisResult<bool>>;

    /// Ids of the receivers.
    fn ids(&self) -> Vec<String>;

    /// The command that publishes a report to the next receiver. `None` if there is no receiver.
    fn encode(&self, report: &Report) -> Option<Cmd>;

    /// Called when a published report had no subscriber.
    fn no_subscriber(&self);
}
