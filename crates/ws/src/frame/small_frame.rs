//! Small frames with one allocation each. `Bytes` of a `Vec` has two once it is shared: the bytes, and their count of
//! references.

use bytes::Bytes;

/// Longest small frame.
pub(super) const BYTES_MAX: usize = LARGER;

/// With the count of references and the length, allocations of 128 and 256 bytes, which are sizes of most allocators.
const SMALLER: usize = 111;
const LARGER: usize = 239;

/// A frame of at most `N` bytes.
struct SmallFrame<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> SmallFrame<N> {
    fn share(frame: &[u8]) -> Bytes {
        let mut bytes = [0; N];
        bytes[..frame.len()].copy_from_slice(frame);
        Bytes::from_owner(SmallFrame { bytes, len: frame.len() as u8 })
    }
}

impl<const N: usize> AsRef<[u8]> for SmallFrame<N> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A copy of a frame that can be shared; `None` if it is too long.
pub(super) fn share(frame: &[u8]) -> Option<Bytes> {
    if frame.len() <= SMALLER {
        return Some(SmallFrame::<SMALLER>::share(frame));
    }
    (frame.len() <= LARGER).then(|| SmallFrame::<LARGER>::share(frame))
}
