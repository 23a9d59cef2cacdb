//! Counts a server's frames by their headers.

/// Walks over a stream of frames that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Bytes of the current payload that have not come.
    left: u64,
    /// A header that has not come whole: its bytes, and how many.
    header: [u8; 10],
    have: usize,
}

impl Walk {
    /// Takes a piece; calls `frame` for each frame that begins in it with what of its payload is in
    /// this piece. Returns how many frames ended.
    pub(crate) fn feed(&mut self, mut piece: &[u8], mut frame: impl FnMut(&[u8])) -> usize {
        let mut ended = 0;
        loop {
            if self.left > 0 {
                let here = self.left.min(piece.len() as u64);
                piece = &piece[here as usize..];
                self.left -= here;
                if self.left > 0 {
                    return ended;
                }
                ended += 1;
            }
            let Some(len) = self.next_header(&mut piece) else { return ended };
            frame(&piece[..piece.len().min(len as usize)]);
            self.left = len;
            if len == 0 {
                ended += 1;
            }
        }
    }

    /// Completes a header and says how long its payload is.
    fn next_header(&mut self, piece: &mut &[u8]) -> Option<u64> {
        loop {
            let need = match (self.have, self.header[1] & 0x7f) {
                (0 | 1, _) => 2,
                (_, 126) => 4,
                (_, 127) => 10,
                _ => 2,
            };
            if self.have == need {
                self.have = 0;
                return Some(match need {
                    2 => (self.header[1] & 0x7f).into(),
                    4 => u16::from_be_bytes([self.header[2], self.header[3]]).into(),
                    _ => u64::from_be_bytes(self.header[2..10].try_into().expect("eight bytes")),
                });
            }
            let (&byte, rest) = piece.split_first()?;
            self.header[self.have] = byte;
            self.have += 1;
            *piece = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mut stream = Vec::new();
        for len in [0_usize, 1, 125, 126, 300, 70_000] {
            stream.push(0x81);
            match len {
                0..=125 => stream.push(len as u8),
                126..=0xffff => {
                    stream.push(126);
                    stream.extend((len as u16).to_be_bytes());
                }
                _ => {
                    stream.push(127);
                    stream.extend((len as u64).to_be_bytes());
                }
            }
            stream.extend(std::iter::repeat_n(b'x', len));
        }
        for cut in [1, 2, 3, 7, 1000, usize::MAX] {
            let mut walk = Walk::default();
            let ended: usize = stream.chunks(cut).map(|piece| walk.feed(piece, |_| ())).sum();
            assert_eq!(ended, 6, "in pieces of {cut}");
        }
    }
}
