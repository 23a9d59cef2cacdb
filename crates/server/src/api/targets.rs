//! Whom a request is about.

use std::fmt::Display;

use serde::Deserialize;
use switchboard::{App, Audience, NameError, SocketId, Target};
use utoipa::ToSchema;

use super::problem::Problem;

/// Sets of sockets, added up.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Targets {
    /// All sockets of these users.
    users: Vec<String>,
    /// All sockets in these rooms, with or without `#`.
    rooms: Vec<String>,
    /// All sockets with these tags, with or without `*`.
    tags: Vec<String>,
    /// These sockets.
    #[schema(value_type = Vec<String>)]
    sockets: Vec<SocketId>,
    /// Every socket of the project.
    everyone: bool,
}

impl Targets {
    /// All of these but some.
    pub(super) fn except(self, except: Targets) -> Result<Audience, Problem> {
        let audience = Audience { to: self.list("to")?, except: except.list("except")? };
        match audience.to.is_empty() {
            true => Err(Problem::invalid("to: nobody is named")),
            false => Ok(audience),
        }
    }

    fn list(self, field: &str) -> Result<Vec<Target>, Problem> {
        let mut list: Vec<Target> = self.sockets.into_iter().map(Target::Socket).collect();
        list.extend(self.everyone.then_some(Target::Everyone));
        for (part, texts, make) in [
            ("users", self.users, Target::user as fn(&str) -> _),
            ("rooms", self.rooms, Target::room),
            ("tags", self.tags, Target::tag),
        ] {
            for (place, text) in texts.iter().enumerate() {
                let invalid =
                    |what: &dyn Display| Problem::invalid(format!("{field}.{part}[{place}]: {what}"));
                if part == "users" && text == "*" {
                    // So Mesa's Dispatchers call everyone; here it would be a user that nobody can be.
                    return Err(invalid(&"for everyone there is `everyone`"));
                }
                list.push(make(text).map_err(|error| invalid(&error))?);
            }
        }
        Ok(list)
    }
}

/// The app in the project that is named, or as it is.
pub(super) fn in_project(app: App, project: Option<&str>) -> Result<App, Problem> {
    match project {
        Some(project) => Ok(app.project(&name("project", project)?)),
        None => Ok(app),
    }
}

pub(super) fn name<T>(field: &str, text: &str) -> Result<T, Problem>
where
    T: for<'a> TryFrom<&'a str, Error = NameError>,
{
    T::try_from(text).map_err(|error| Problem::invalid(format!("{field}: {error}")))
}
