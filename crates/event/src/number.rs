//! The number of a message that waits for users.

use std::fmt;

/// Numbers a message among all that wait in a project: what was put later has a greater number. It
/// is the same for all users that the message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageNumber(pub u64);

impl fmt::Display for MessageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
