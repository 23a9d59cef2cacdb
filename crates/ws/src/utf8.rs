//! UTF-8 that arrives in pieces.

/// Checks text piece by piece and refuses at the first byte that no valid text could have.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Utf8 {
    /// The beginning of a character whose rest has not come.
    begun: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Takes the next piece; false if the text cannot be valid any more.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.len > 0 {
            let Some((&next, rest)) = piece.split_first() else { return true };
            let mut character = [0; 4];
            let len = usize::from(self.len);
            character[..len].copy_from_slice(&self.begun[..len]);
            character[len] = next;
            match std::str::from_utf8(&character[..=len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {
                    self.begun[len] = next;
                    self.len += 1;
                }
                Err(_) => return false,
            }
            piece = rest;
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let begun = &piece[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.len = begun.len() as u8;
                true
            }
            Err(_) => false,
        }
    }

    /// Whether no character is left open.
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
        fn pieces_are_judged_like_the_whole(text in any::<Vec<u8>>(), valid in ".*", cut in 1_usize..5) {
            for bytes in [&text[..], valid.as_bytes()] {
                let mut utf8 = Utf8::default();
                let accepted = bytes.chunks(cut).all(|piece| utf8.push(piece)) && utf8.is_whole();
                prop_assert_eq!(accepted, std::str::from_utf8(bytes).is_ok());
            }
        }
    }

    #[test]
    fn a_byte_that_cannot_go_on_is_refused_at_once() {
        let mut utf8 = Utf8::default();
        assert!(utf8.push(b"\xf4"));
        // U+110000 and beyond do not exist.
        assert!(!utf8.push(b"\x90"));
    }
}
