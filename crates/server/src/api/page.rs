//! Pages of lists: their parameters, and the place at which the next one begins.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use switchboard::Page;

use super::problem::Problem;

/// Most entries of a page.
const LIMIT_MAX: usize = 1000;

/// Entries of a page without `limit`.
const LIMIT_DEFAULT: usize = 100;

/// Defines the parameters of a list: its own, the place and the number of entries, and the project.
macro_rules! list_query {
    ($(#[$meta:meta])* struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(super) struct $name {
            $($fields)*
            /// `next` of the page before.
            #[param(value_type = Option<String>)]
            after: $crate::api::page::After,
            /// Most entries, 1 to 1,000.
            #[serde(default)]
            #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
            limit: $crate::api::page::Limit,
            /// The project. Default: the server's own.
            project: Option<String>,
        }
    };
}

pub(super) use list_query;

/// The place of a page: `next` of the page before.
pub(super) type After = Option<String>;

/// The number of entries of a page.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct Limit(usize);

impl Default for Limit {
    fn default() -> Self {
        Limit(LIMIT_DEFAULT)
    }
}

impl Limit {
    pub(super) fn checked(self) -> Result<usize, Problem> {
        match self.0 {
            1..=LIMIT_MAX => Ok(self.0),
            _ => Err(Problem::invalid_field("limit", format_args!("expected 1 to {LIMIT_MAX}"))),
        }
    }
}

/// The page of a list.
pub(super) fn page<T: FromStr<Err: Display>>(after: After, limit: Limit) -> Result<Page<T>, Problem> {
    let limit = limit.checked()?;
    let after = after.map(|after| after.parse()).transpose();
    let after = after.map_err(|error| Problem::invalid_field("after", error))?;
    Ok(Page { after, limit })
}

/// The place behind a page. `None` if it is the last one.
pub(super) fn next<T, U: Display>(page: &[T], limit: Limit, place: impl Fn(&T) -> U) -> Option<String> {
    (page.len() >= limit.0).then(|| page.last().map(|last| place(last).to_string())).flatten()
}
