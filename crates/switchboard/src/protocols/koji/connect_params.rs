//! The parameters in the address of a Koji handshake.

use std::sync::Arc;

use http::{StatusCode, Uri};
use switchboard_event::{NameError, ProjectId, ShardName};

use crate::protocols::admission::AddressError;
use crate::protocols::koji::options::KojiSettings;
use crate::protocols::koji::rules::ProjectRules;

/// The parameters of a handshake, checked.
pub(crate) struct ConnectParams {
    pub(crate) project: ProjectId,
    pub(crate) settings: Arc<KojiSettings>,
    pub(crate) rules: Arc<ProjectRules>,
    pub(crate) shard: Option<ShardName>,
    pub(crate) capacity: u32,
    pub(crate) token: Option<String>,
    /// The client wants changes of the member list in place of the whole list.
    pub(crate) changes: bool,
}

/// Why a handshake of a Koji client is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParamsError {
    #[error("projectId is missing")]
    NoProject,
    #[error("there is no such project")]
    UnknownProject,
    #[error("projectId: {0}")]
    Project(NameError),
    #[error("shardName: {0}")]
    Shard(NameError),
}

impl ParamsError {
    fn status(&self) -> StatusCode {
        match self {
            ParamsError::UnknownProject => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<ParamsError> for AddressError {
    fn from(error: ParamsError) -> Self {
        AddressError { status: error.status(), message: error.to_string() }
    }
}

/// The query's parameters that mean something; the first of each counts. Empty is like missing.
#[derive(Default)]
struct Query {
    project: Option<String>,
    shard: Option<String>,
    capacity: Option<String>,
    token: Option<String>,
    clients: Option<String>,
}

impl Query {
    fn of(uri: &Uri) -> Self {
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let field = match &*name {
                "projectId" => &mut query.project,
                "shardName" => &mut query.shard,
                "maxConnectionsPerShard" => &mut query.capacity,
                "authorization" => &mut query.token,
                "connectedClients" => &mut query.clients,
                _ => continue,
            };
            if field.is_none() && !value.is_empty() {
                *field = Some(value.into_owned());
            }
        }
        query
    }
}

impl ConnectParams {
    /// Whether a handshake is for this protocol.
    pub(crate) fn matches(uri: &Uri) -> bool {
        let named = || {
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .any(|(name, _)| name == "projectId")
        };
        uri.path() == "/koji" || (uri.path() == "/" && named())
    }

    pub(crate) fn of(uri: &Uri, settings: &Arc<KojiSettings>) -> Result<Self, ParamsError> {
        let Query { project, shard, capacity, token, clients } = Query::of(uri);
        let project = project.or_else(|| settings.has_undefined_project.then(|| "undefined".into()));
        let project =
            ProjectId::new(&project.ok_or(ParamsError::NoProject)?).map_err(ParamsError::Project)?;
        let rules = settings.rules(&project).ok_or(ParamsError::UnknownProject)?;
        let shard = shard.map(|name| ShardName::new(&name)).transpose().map_err(ParamsError::Shard)?;
        let capacity = rules.capacity(capacity.as_deref());
        let changes = clients.as_deref() == Some("changes");
        Ok(ConnectParams { project, settings: settings.clone(), rules, shard, capacity, token, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::koji::options::Koji;

    fn ticket(uri: &str) -> Result<ConnectParams, ParamsError> {
        ConnectParams::of(&uri.parse().unwrap(), &Koji::new().settings)
    }

    #[test]
    fn the_door_is_at_koji_and_wherever_a_project_is_named_at_the_root() {
        for uri in ["/koji", "/koji?x=1", "/?projectId=p", "/?a=b&projectId=", "/?project%49d=p"] {
            assert!(ConnectParams::matches(&uri.parse().unwrap()), "{uri}");
        }
        for uri in ["/", "/?projectid=p", "/chat?projectId=p", "/koji/x", "/?x=projectId"] {
            assert!(!ConnectParams::matches(&uri.parse().unwrap()), "{uri}");
        }
    }

    #[test]
    fn parameters_come_in_any_order_and_others_are_ignored() {
        let ticket = ticket(
            "/?room=x&shardName=a%20b&maxConnectionsPerShard=25&projectToken=s&projectId=p&authorization=t",
        )
        .unwrap();
        assert_eq!((&*ticket.project, ticket.shard.as_deref()), ("p", Some("a b")));
        assert_eq!((ticket.capacity, ticket.token.as_deref(), ticket.changes), (25, Some("t"), false));
    }

    #[test]
    fn without_a_project_it_is_the_one_named_undefined_unless_that_is_off() {
        for uri in ["/koji", "/?projectId=", "/koji?projectId&shardName="] {
            let ticket = ticket(uri).unwrap();
            assert_eq!((&*ticket.project, ticket.shard), ("undefined", None));
        }
        let strict = Koji::new().with_undefined_project(false);
        let refused = ConnectParams::of(&"/koji".parse().unwrap(), &strict.settings).err().unwrap();
        assert_eq!((refused.status(), refused), (StatusCode::BAD_REQUEST, ParamsError::NoProject));
    }

    #[test]
    fn names_that_are_too_long_and_projects_that_are_not_there_are_refused() {
        let long = "x".repeat(257);
        for uri in [format!("/?projectId={long}"), format!("/?projectId=p&shardName={long}")] {
            assert_eq!(ticket(&uri).err().unwrap().status(), StatusCode::BAD_REQUEST);
        }
        assert!(ticket(&format!("/?projectId=p&shardName={}", "x".repeat(256))).is_ok());
        let none = Koji::new().with_projects(|_| None);
        let refused = ConnectParams::of(&"/?projectId=p".parse().unwrap(), &none.settings).err().unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
}
