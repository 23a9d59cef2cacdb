//! The audience of a request.

use std::fmt::Display;

use serde::Deserialize;
use switchboard::{Audience, NameError, ShardName, SocketId, Target};
use utoipa::ToSchema;

use super::problem::Problem;

/// A union of sets of sockets.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Targets {
    /// All sockets of these users.
    users: Vec<String>,
    /// All sockets in these rooms, with or without `#`.
    rooms: Vec<String>,
    /// All sockets with these tags, with or without `*`.
    tags: Vec<String>,
    /// All sockets with a seat on these shards.
    shards: Vec<String>,
    /// These sockets.
    #[schema(value_type = Vec<String>)]
    sockets: Vec<SocketId>,
    /// Every socket of the project.
    everyone: bool,
}

impl Targets {
    /// The audience of these targets without `except`.
    pub(super) fn except(self, except: Targets) -> Result<Audience, Problem> {
        let audience = Audience { to: self.list("to")?, except: except.list("except")? };
        match audience.to.is_empty() {
            true => Err(Problem::invalid_field("to", "expected at least one recipient")),
            false => Ok(audience),
        }
    }

    fn list(self, field: &str) -> Result<Vec<Target>, Problem> {
        let mut list: Vec<Target> = self.sockets.into_iter().map(Target::Socket).collect();
        list.extend(self.everyone.then_some(Target::Everyone));
        for (part, ids, target) in [
            ("users", self.users, Target::user as fn(&str) -> _),
            ("rooms", self.rooms, Target::room),
            ("tags", self.tags, Target::tag),
            ("shards", self.shards, |name| Ok(Target::shard(&ShardName::new(name)?))),
        ] {
            for (index, text) in ids.iter().enumerate() {
                let invalid =
                    |error: &dyn Display| Problem::invalid_field(format!("{field}.{part}[{index}]"), error);
                if part == "users" && text == "*" {
                    // Mesa's Dispatchers address everyone by `*`; here it would be a user id that no user can have.
                    return Err(invalid(&"use `everyone` to address everyone"));
                }
                list.push(target(text).map_err(|error| invalid(&error))?);
            }
        }
        Ok(list)
    }
}

/// Reads a name; the error contains the field.
pub(super) fn parse_name<T>(field: &str, text: &str) -> Result<T, Problem>
where
    T: for<'a> TryFrom<&'a str, Error = NameError>,
{
    T::try_from(text).map_err(|error| Problem::invalid_field(field, error))
}
