//! Takes bytes off the front of the read buffer and unmasks them in place.

/// Takes `len` bytes off the front of `input`.
#[inline]
pub(super) fn take_front<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

/// The same, unmasked: eight bytes at a time, then the remaining ones.
#[inline]
pub(super) fn unmask_front<'a>(input: &mut &'a mut [u8], len: usize, mask: [u8; 4]) -> &'a [u8] {
    let front = take_front(input, len);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = front.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    front
}
