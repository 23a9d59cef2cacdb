//! The limit of open files: each connection needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switchboard_log::printable_error;

/// Raises the soft limit of this process to its hard limit, and logs the result. Systems often start processes with
/// a soft limit of 1,024, for programs that use `select`.
pub(super) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(
            limit = current,
            error = printable_error(&error),
            "cannot raise the limit of open files"
        );
    }
    let limit = getrlimit(Resource::Nofile).current;
    tracing::info!(
        limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()),
        "each connection needs an open file; more than the limit cannot be accepted"
    );
}
