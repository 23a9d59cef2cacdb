//! The parameters in the URI of a Koji handshake.

use std::borrow::Cow;
use std::sync::Arc;

use http::{StatusCode, Uri};
use switchboard_event::{NameError, ProjectId, ShardName};

use crate::protocols::admission::UriError;
use crate::protocols::koji::options::KojiSettings;
use crate::protocols::koji::rules::ProjectRules;
use crate::protocols::path::segments;

/// The checked parameters of a handshake.
#[derive(Clone)]
pub(crate) struct ConnectParams {
    pub(crate) project: ProjectId,
    pub(crate) settings: Arc<KojiSettings>,
    pub(crate) rules: Arc<ProjectRules>,
    pub(crate) shard: Option<ShardName>,
    pub(crate) capacity: u32,
    pub(crate) token: Option<String>,
    /// The client receives changes of the member list in place of the whole list.
    pub(crate) wants_changes: bool,
    /// The client receives an answer to each of its tokens.
    pub(crate) wants_token_answers: bool,
}

/// The parameters of a handshake are invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParamsError {
    #[error("no protocol is served at this path; Koji clients connect to /koji")]
    Path,
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
            ParamsError::Path => StatusCode::NOT_FOUND,
            ParamsError::UnknownProject => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<ParamsError> for UriError {
    fn from(error: ParamsError) -> Self {
        UriError { status: error.status(), message: error.to_string() }
    }
}

/// The known parameters of the query. The first of several values is used; an empty value is ignored.
#[derive(Default)]
struct Query<'a> {
    project: Option<Cow<'a, str>>,
    shard: Option<Cow<'a, str>>,
    capacity: Option<Cow<'a, str>>,
    token: Option<Cow<'a, str>>,
    member_list: Option<Cow<'a, str>>,
    identify: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    fn of(uri: &'a Uri) -> Self {
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let field = match &*name {
                "projectId" => &mut query.project,
                "shardName" => &mut query.shard,
                "maxConnectionsPerShard" => &mut query.capacity,
                "authorization" => &mut query.token,
                "connectedClients" => &mut query.member_list,
                "identify" => &mut query.identify,
                _ => continue,
            };
            if field.is_none() && !value.is_empty() {
                *field = Some(value);
            }
        }
        query
    }
}

/// A URI, as this protocol reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UriMatch {
    /// `/koji`, or `/` with a `projectId`.
    Endpoint,
    /// Below `/koji`, where nothing is.
    BelowEndpoint,
    Elsewhere,
}

impl UriMatch {
    pub(crate) fn of(uri: &Uri) -> Self {
        let has_project = || {
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .any(|(name, _)| name == "projectId")
        };
        let mut segments = segments(uri.path());
        match (segments.next().as_deref(), segments.next()) {
            (Some("koji"), None) => UriMatch::Endpoint,
            (Some("koji"), Some(_)) => UriMatch::BelowEndpoint,
            (None, _) if has_project() => UriMatch::Endpoint,
            _ => UriMatch::Elsewhere,
        }
    }
}

impl ConnectParams {
    pub(crate) fn of(uri: &Uri, settings: &Arc<KojiSettings>) -> Result<Self, ParamsError> {
        let Query { project, shard, capacity, token, member_list, identify } = Query::of(uri);
        let project = project.or_else(|| settings.has_undefined_project.then(|| "undefined".into()));
        let project =
            ProjectId::new(&project.ok_or(ParamsError::NoProject)?).map_err(ParamsError::Project)?;
        let rules = settings.rules(&project).ok_or(ParamsError::UnknownProject)?;
        let shard = shard.map(|name| ShardName::new(&name)).transpose().map_err(ParamsError::Shard)?;
        let capacity = rules.capacity(capacity.as_deref());
        let wants_changes = member_list.as_deref() == Some("changes");
        let wants_token_answers = identify.as_deref() == Some("answered");
        Ok(ConnectParams {
            project,
            settings: settings.clone(),
            rules,
            shard,
            capacity,
            token: token.map(Cow::into_owned),
            wants_changes,
            wants_token_answers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::koji::options::Koji;

    fn params(uri: &str) -> Result<ConnectParams, ParamsError> {
        ConnectParams::of(&uri.parse().unwrap(), &Koji::new().settings)
    }

    #[test]
    fn a_uri_matches_at_koji_or_at_the_root_with_a_project() {
        let matched = |uri: &str| UriMatch::of(&uri.parse().unwrap());
        for uri in ["/koji", "/koji?x=1", "/?projectId=p", "/?a=b&projectId=", "/?project%49d=p"] {
            assert_eq!(matched(uri), UriMatch::Endpoint, "{uri}");
        }
        for uri in ["/koji/", "//koji?projectId=p", "/%6Boji", "//?projectId=p", "///?projectId=p"] {
            assert_eq!(matched(uri), UriMatch::Endpoint, "{uri}");
        }
        for uri in ["/koji/x", "/koji/x?projectId=p", "//koji//x/"] {
            assert_eq!(matched(uri), UriMatch::BelowEndpoint, "{uri}");
        }
        for uri in ["/", "//", "/?projectid=p", "/chat?projectId=p", "/?x=projectId", "/kojis"] {
            assert_eq!(matched(uri), UriMatch::Elsewhere, "{uri}");
        }
    }

    #[test]
    fn parameters_are_read_in_any_order_and_unknown_ones_are_ignored() {
        let params = params(
            "/?room=x&shardName=a%20b&maxConnectionsPerShard=25&projectToken=s&projectId=p&authorization=t",
        )
        .unwrap();
        assert_eq!((&*params.project, params.shard.as_deref()), ("p", Some("a b")));
        assert_eq!((params.capacity, params.token.as_deref(), params.wants_changes), (25, Some("t"), false));
    }

    #[test]
    fn the_default_project_is_undefined_unless_it_is_disabled() {
        for uri in ["/koji", "/?projectId=", "/koji?projectId&shardName="] {
            let params = params(uri).unwrap();
            assert_eq!((&*params.project, params.shard), ("undefined", None));
        }
        let strict = Koji::new().with_undefined_project(false);
        let refused = ConnectParams::of(&"/koji".parse().unwrap(), &strict.settings).err().unwrap();
        assert_eq!((refused.status(), refused), (StatusCode::BAD_REQUEST, ParamsError::NoProject));
    }

    #[test]
    fn names_that_are_too_long_and_unknown_projects_are_refused() {
        let long = "x".repeat(257);
        for uri in [format!("/?projectId={long}"), format!("/?projectId=p&shardName={long}")] {
            assert_eq!(params(&uri).err().unwrap().status(), StatusCode::BAD_REQUEST);
        }
        assert!(params(&format!("/?projectId=p&shardName={}", "x".repeat(256))).is_ok());
        let none = Koji::new().with_projects(|_| None);
        let refused = ConnectParams::of(&"/?projectId=p".parse().unwrap(), &none.settings).err().unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
}
