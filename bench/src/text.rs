//! Messages assembled from their pieces.

use crate::frame_parser::Part;

/// The latest message of a connection, complete or not.
#[derive(Debug, Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// Adds a piece. Returns the message if the piece completes it.
    pub(crate) fn take(&mut self, part: Part<'_>) -> Option<&[u8]> {
        if part.begins {
            self.0.clear();
        }
        self.0.extend_from_slice(part.bytes);
        part.ends.then_some(&*self.0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
