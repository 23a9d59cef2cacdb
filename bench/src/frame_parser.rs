//! Finds the frames of a server by their headers.

/// A parser of frame headers in a stream that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct FrameParser {
    opcode: u8,
    /// The current payload: its length and the bytes still missing.
    len: u64,
    left: u64,
    /// An incomplete header: its bytes and their number.
    header: [u8; 10],
    have: usize,
}

/// The part of a frame's payload that is in one piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) opcode: u8,
    /// Length of the whole payload.
    pub(crate) len: u64,
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    pub(crate) bytes: &'a [u8],
}

impl FrameParser {
    /// Reads a piece and passes the parts of frames to `show`, at least one part per frame.
    pub(crate) fn feed(&mut self, mut piece: &[u8], mut show: impl FnMut(Part<'_>)) {
        loop {
            let begins = self.left == 0;
            if begins {
                let Some(len) = self.next_header(&mut piece) else { return };
                (self.len, self.left) = (len, len);
            } else if piece.is_empty() {
                return;
            }
            let (bytes, rest) = piece.split_at(self.left.min(piece.len() as u64) as usize);
            piece = rest;
            self.left -= bytes.len() as u64;
            show(Part { opcode: self.opcode, len: self.len, begins, ends: self.left == 0, bytes });
        }
    }

    /// Completes a header and returns the length of its payload.
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
                self.opcode = self.header[0] & 0x0f;
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
    fn frames_are_found_wherever_the_stream_is_split() {
        let lens = [0_usize, 1, 125, 126, 300, 70_000, 0];
        let mut stream = Vec::new();
        for len in lens {
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
            let (mut parser, mut found) = (FrameParser::default(), Vec::new());
            for piece in stream.chunks(cut) {
                parser.feed(piece, |part| {
                    if part.begins {
                        found.push((part.opcode, part.len as usize, 0, false));
                    }
                    let frame = found.last_mut().expect("the first part begins a frame");
                    assert!(!frame.3, "a frame continues after its end");
                    (frame.2, frame.3) = (frame.2 + part.bytes.len(), part.ends);
                });
            }
            assert_eq!(found, lens.map(|len| (1, len, len, true)), "in pieces of {cut}");
        }
    }
}
