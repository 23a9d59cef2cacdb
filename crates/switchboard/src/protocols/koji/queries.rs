//! Queries of shards and their clients.

use serde::Serialize;
use switchboard_backplane::Shard;
use switchboard_event::{Payload, ShardName, SocketId, Target};
use switchboard_wire::koji;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::errors::QueryError;
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::member_entry::{MemberEntry, in_join_order};
use crate::protocols::koji::user_info::{UserInfoError, set_user_info};

/// A client in the list of [`App::shard_clients`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ShardClient {
    /// The id of the client's socket.
    pub client_id: SocketId,
    /// The user info that the client has set, a JSON object.
    pub user_info: Payload,
    /// When bytes last arrived from the client, in milliseconds since 1970.
    pub last_ping: u64,
}

impl App {
    /// Lists the shards of the project with their number of clients on all nodes: largest first, then by
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

    /// Lists the clients of a shard on all nodes, in the order in which they connected. For a client of
    /// another node, `last_ping` is the time at which it connected or last changed its user info.
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
        let stored = match self.node().has_shared_store() {
            true => self.hub().store().descriptions(self.project_id(), &shard).await?,
            false => Vec::new(),
        };
        let local = self.hub().members(self.project_id(), &Target::shard(&shard).into());
        let local = local.iter().filter_map(|session| {
            let client = client_of(session).filter(|client| client.shard == shard)?;
            Some(client.entry(session.id))
        });
        let remote = stored.iter().filter_map(|(id, entry)| MemberEntry::from_bytes(*id, entry));
        let client = |koji::Client { id, user_info, last_ping_ms }| ShardClient {
            client_id: id,
            user_info,
            last_ping: last_ping_ms,
        };
        Ok(in_join_order(local.collect(), remote).into_iter().map(client).collect())
    }
}

impl Socket {
    /// The shard of a Koji client; `None` for sockets of other protocols.
    pub fn shard(&self) -> Option<&ShardName> {
        client_of(self.session()).map(|client| &client.shard)
    }

    /// The user info of a Koji client, a JSON object; `None` for sockets of other protocols.
    pub fn user_info(&self) -> Option<Payload> {
        client_of(self.session()).map(|client| client.user_info())
    }

    /// Sets the user info of a Koji client, which the other clients of its shard receive.
    pub fn set_user_info<T: Serialize + ?Sized>(&self, info: &T) -> Result<(), UserInfoError> {
        let info = Payload::of(info)?;
        let client = client_of(self.session()).ok_or(UserInfoError::Protocol)?;
        if !info.is_object() {
            return Err(UserInfoError::NotAnObject);
        }
        set_user_info(self.node(), client, self.session(), &info)
    }
}
