//! Messages put together from their parts.

use crate::walk::Part;

/// The latest message of a connection; whole or on its way.
#[derive(Debug, Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// Takes a part and returns the message that ends with it.
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
