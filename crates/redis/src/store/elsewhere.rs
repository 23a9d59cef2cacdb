//! The sockets and users of original servers, which the store counts as well.

use std::collections::BTreeSet;

use switchboard_event::{ProjectId, SocketId, Target, UserId};

use super::RedisStore;
use super::mirror::PresenceMirror;
use crate::error::RequestError;

impl RedisStore {
    /// The mirror, if original servers may have sockets in the project.
    fn mirror(&self, project: &ProjectId) -> Option<&dyn PresenceMirror> {
        self.shared.mirror.as_deref().filter(|mirror| mirror.has_sockets(project))
    }

    /// The sockets of original servers in a target.
    pub(super) async fn sockets_elsewhere(
        &self,
        project: &ProjectId,
        target: &Target,
    ) -> Result<BTreeSet<SocketId>, RequestError> {
        let Some(mirror) = self.mirror(project) else { return Ok(BTreeSet::new()) };
        let (mut connection, names) =
            (self.settled_connection().await?, self.shared.context.names.project(project));
        Ok(mirror.sockets(&mut connection, &names, target).await?)
    }

    /// The users that are online on original servers only.
    pub(super) async fn users_elsewhere(
        &self,
        project: &ProjectId,
    ) -> Result<BTreeSet<UserId>, RequestError> {
        let Some(mirror) = self.mirror(project) else { return Ok(BTreeSet::new()) };
        let (mut connection, names) =
            (self.settled_connection().await?, self.shared.context.names.project(project));
        Ok(mirror.users(&mut connection, &names).await?)
    }
}
