//! Queries about shards and their clients.

use serde::Serialize;
use switchboard_backplane::Shard;
use switchboard_event::{Payload, PayloadError, ShardName, SocketId};
use switchboard_wire::koji;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::errors::QueryError;
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::member_entry::{MemberEntry, in_join_order};
use crate::protocols::koji::member_lists::{MemberLists, set_info};

/// A client as [`App::shard_clients`] lists it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ShardClient {
    /// Its socket.
    pub client_id: SocketId,
    /// What it said of itself.
    pub user_info: Payload,
    /// When it was last heard, in milliseconds since 1970.
    pub last_ping: u64,
}

impl App {
    /// The shards of the project and how many clients of all nodes are on each, largest first, then by
    /// name.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let app = switchboard::App::new();
    /// if let Some(largest) = app.shards().await?.first() {
    ///     println!("{} with {} clients", largest.name, largest.seated);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn shards(&self) -> Result<Vec<Shard>, QueryError> {
        let mut shards = self.hub().store().shards(self.project_id()).await?;
        shards.sort_by(|a, b| b.seated.cmp(&a.seated).then_with(|| a.name.cmp(&b.name)));
        Ok(shards)
    }

    /// The clients on a shard, of all nodes, in the order they came. When one of another node was last
    /// heard is as of when it came, or last said something of itself.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let app = switchboard::App::new();
    /// for client in app.shard_clients("lobby").await? {
    ///     println!("{}: {:?}", client.client_id, client.user_info);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn shard_clients(&self, shard: &str) -> Result<Vec<ShardClient>, QueryError> {
        let shard = ShardName::new(shard)?;
        let elsewhere = match self.node().has_shared_store() {
            true => self.hub().store().descriptions(self.project_id(), &shard).await?,
            false => Vec::new(),
        };
        let here = self.node().extension::<MemberLists>().list(self.project_id(), &shard);
        let elsewhere = elsewhere.iter().filter_map(|(id, description)| MemberEntry::read(*id, description));
        let client = |koji::Client { id, user_info, last_ping_ms }| ShardClient {
            client_id: id,
            user_info,
            last_ping: last_ping_ms,
        };
        Ok(in_join_order(here, elsewhere).into_iter().map(client).collect())
    }
}

impl Socket {
    /// The shard it is on; `None` for sockets that did not come through the Koji door.
    pub fn shard(&self) -> Option<&ShardName> {
        client_of(self.session()).map(|client| &client.shard)
    }

    /// What a Koji client said of itself, an object; `None` for other sockets.
    pub fn user_info(&self) -> Option<Payload> {
        client_of(self.session()).map(|client| client.info())
    }

    /// Says of a Koji client what the others of its shard shall know, in place of what was said
    /// before. False for other sockets, and for what is no object.
    pub fn set_user_info<T: Serialize + ?Sized>(&self, info: &T) -> Result<bool, PayloadError> {
        let info = Payload::of(info)?;
        let client = client_of(self.session()).filter(|_| info.as_bytes().starts_with(b"{"));
        Ok(client.map(|client| set_info(self.node(), client, self.session(), info)).is_some())
    }
}
