//! The limit of open files: each connection needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switchboard_log::printable_error;

/// Raises the soft limit of this process to its hard limit, and returns it; `None` is no limit. Systems often start
/// processes with a soft limit of 1,024, for programs that use `select`.
pub(super) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(
            limit = current,
            error = printable_error(&error),
            "cannot raise the limit of open files"
        );
    }
    getrlimit(Resource::Nofile).current
}
