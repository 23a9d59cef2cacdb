//! Incremental validation of UTF-8.

/// Validates text in pieces and fails at the first byte that makes it invalid.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Utf8 {
    /// The bytes of an incomplete character.
    partial: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Checks the next piece; false if the text is invalid.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.len > 0 {
            let Some((&next, rest)) = piece.split_first() else { return true };
            let mut character = [0; 4];
            let len = usize::from(self.len);
            character[..len].copy_from_slice(&self.partial[..len]);
            character[len] = next;
            match std::str::from_utf8(&character[..=len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {
                    self.partial[len] = next;
                    self.len += 1;
                }
                Err(_) => return false,
            }
            piece = rest;
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let partial = &piece[error.valid_up_to()..];
                self.partial[..partial.len()].copy_from_slice(partial);
                self.len = partial.len() as u8;
                true
            }
            Err(_) => false,
        }
    }

    /// Returns true if no character is incomplete.
    pub(crate) fn is_whole(self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_validated_like_the_whole(text in any::<Vec<u8>>(), valid in ".*", cut in 1_usize..5) {
            for bytes in [&text[..], valid.as_bytes()] {
                let mut utf8 = Utf8::default();
                let accepted = bytes.chunks(cut).all(|piece| utf8.push(piece)) && utf8.is_whole();
                prop_assert_eq!(accepted, std::str::from_utf8(bytes).is_ok());
            }
        }
    }

    #[test]
    fn an_invalid_byte_is_refused_immediately() {
        let mut utf8 = Utf8::default();
        assert!(utf8.push(b"\xf4"));
        // U+110000 and above are not code points.
        assert!(!utf8.push(b"\x90"));
    }
}
