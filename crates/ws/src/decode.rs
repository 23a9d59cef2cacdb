//! Decodes the frames of a client into messages.
//!
//! A complete frame in the read buffer is unmasked in place and borrowed, without a copy. Only an incomplete
//! frame or message is buffered, in an allocation that is freed when it is complete.

use std::ops::Deref;

use bytes::Bytes;

use crate::close::CloseCode;
use crate::error::{CONTROL_BYTES_MAX, ProtocolError};
use crate::utf8::Utf8;

/// Longest header of a masked frame.
const HEADER_BYTES_MAX: usize = 14;

/// Bounds on the messages of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes in one frame. Default 1 MiB.
    pub frame_bytes_max: usize,
    /// Most bytes in one message, over all fragments. Default 1 MiB.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { frame_bytes_max: 1024 * 1024, message_bytes_max: 1024 * 1024 }
    }
}

/// A message or control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A complete message of valid UTF-8.
    Text(Payload<'a>),
    /// A complete binary message.
    Binary(Payload<'a>),
    /// A ping; the reply is a pong with the same payload.
    Ping(Payload<'a>),
    /// The reply to a ping of the server.
    Pong(Payload<'a>),
    /// The client's last frame, with its code and reason if present.
    Close(Option<(CloseCode, String)>),
}

/// The bytes of a message; borrowed if they arrived in one frame.
#[derive(Debug)]
pub enum Payload<'a> {
    /// A slice of the read buffer.
    Borrowed(&'a [u8]),
    /// Assembled from pieces.
    Owned(Bytes),
}

impl Payload<'_> {
    /// The bytes as an owned value; copied if borrowed.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Payload::Owned(bytes) => bytes,
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
        }
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}

/// Decodes bytes into messages. Small while nothing is incomplete, because every idle connection has one.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    partial: Option<Box<Partial>>,
    closed: bool,
}

/// Incomplete input.
#[derive(Debug, Default)]
struct Partial {
    /// An incomplete header.
    header: Vec<u8>,
    frame: Option<OpenFrame>,
    message: Option<Message>,
}

/// A frame with an incomplete payload.
#[derive(Debug)]
struct OpenFrame {
    header: Header,
    /// The payload of a control frame; a data frame's payload is appended to the message.
    control: Vec<u8>,
    seen: usize,
}

/// A message with pieces outstanding.
#[derive(Debug, Default)]
struct Message {
    text: bool,
    bytes: Vec<u8>,
    utf8: Utf8,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    len: usize,
}

impl Header {
    fn is_control(&self) -> bool {
        self.opcode >= 8
    }
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        Decoder { limits, partial: None, closed: false }
    }

    /// Takes the next item off the front of `input`; `None` when the input is used up. An incomplete item is
    /// buffered for the next call. Input after a close frame is ignored. After an error the decoder must not be
    /// used again.
    pub fn next<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Item<'a>>, ProtocolError> {
        if self.closed {
            *input = &mut [];
        }
        while !input.is_empty() {
            if self.partial.as_ref().is_some_and(|partial| partial.frame.is_some()) {
                match self.go_on(input)? {
                    Some(item) => return Ok(Some(item)),
                    None => continue,
                }
            }
            let Some(header) = self.header(input)? else { return Ok(None) };
            let first_of_whole = header.fin && header.opcode != 0;
            if first_of_whole && header.len <= input.len() {
                let payload = unmask_front(input, header.len, header.mask);
                return self.whole(header, payload).map(Some);
            }
            self.open(header);
            if header.len == 0
                && let Some(item) = self.go_on(input)?
            {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Takes a header off the front of `input`; `None` if it is incomplete.
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        let begun = self.partial.as_mut().map_or(0, |partial| partial.header.len());
        if begun == 0 {
            return match self.parse(input)? {
                Some((header, len)) => {
                    take_front(input, len);
                    Ok(Some(header))
                }
                None => {
                    let rest = take_front(input, input.len());
                    self.partial().header.extend_from_slice(rest);
                    Ok(None)
                }
            };
        }
        let mut joined = [0; HEADER_BYTES_MAX];
        let more = (HEADER_BYTES_MAX - begun).min(input.len());
        joined[..begun].copy_from_slice(&self.partial().header);
        joined[begun..begun + more].copy_from_slice(&input[..more]);
        match self.parse(&joined[..begun + more])? {
            Some((header, len)) => {
                take_front(input, len - begun);
                self.partial().header = Vec::new();
                self.shrink();
                Ok(Some(header))
            }
            None => {
                let rest = take_front(input, input.len());
                self.partial().header.extend_from_slice(rest);
                Ok(None)
            }
        }
    }

    /// Parses a header. An incomplete header is checked as far as it has arrived.
    fn parse(&self, bytes: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
        let &[first, ref rest @ ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(ProtocolError::ReservedBit);
        }
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Err(ProtocolError::ReservedOpCode(opcode));
        }
        let control = opcode >= 8;
        let continues = self.partial.as_ref().is_some_and(|partial| partial.message.is_some());
        match opcode {
            0 if !continues => return Err(ProtocolError::NothingToContinue),
            1 | 2 if continues => return Err(ProtocolError::Interleaved),
            _ => {}
        }
        let &[second, ref rest @ ..] = rest else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(ProtocolError::NotMasked);
        }
        let short = usize::from(second & 0x7f);
        if control && (!fin || short > CONTROL_BYTES_MAX) {
            return Err(ProtocolError::BadControl);
        }
        let (len, rest) = match short {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let len = u64::from(u16::from_be_bytes(*len));
                (if len > 125 { len } else { return Err(ProtocolError::BadLength) }, rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let len = u64::from_be_bytes(*len);
                let shortest = len > 0xffff && len >> 63 == 0;
                (if shortest { len } else { return Err(ProtocolError::BadLength) }, rest)
            }
            short => (short as u64, rest),
        };
        if !control {
            self.check_size(len)?;
        }
        let Some((mask, _)) = rest.split_first_chunk() else { return Ok(None) };
        let header_len = bytes.len() - rest.len() + mask.len();
        Ok(Some((Header { fin, opcode, mask: *mask, len: len as usize }, header_len)))
    }

    fn check_size(&self, len: u64) -> Result<(), ProtocolError> {
        let before =
            self.partial.as_ref().and_then(|partial| partial.message.as_ref()).map_or(0, |m| m.bytes.len());
        let Limits { frame_bytes_max, message_bytes_max } = self.limits;
        if len > frame_bytes_max as u64 {
            return Err(ProtocolError::TooBig { len, limit: frame_bytes_max });
        }
        let whole = len + before as u64;
        if whole > message_bytes_max as u64 {
            return Err(ProtocolError::TooBig { len: whole, limit: message_bytes_max });
        }
        Ok(())
    }

    /// Decodes a frame that is complete and is a control frame or an unfragmented message.
    fn whole<'a>(&mut self, header: Header, payload: &'a [u8]) -> Result<Item<'a>, ProtocolError> {
        match header.opcode {
            1 if std::str::from_utf8(payload).is_err() => Err(ProtocolError::NotUtf8),
            1 => Ok(Item::Text(Payload::Borrowed(payload))),
            2 => Ok(Item::Binary(Payload::Borrowed(payload))),
            _ => self.control(header.opcode, Payload::Borrowed(payload)),
        }
    }

    fn control<'a>(&mut self, opcode: u8, payload: Payload<'a>) -> Result<Item<'a>, ProtocolError> {
        match opcode {
            9 => return Ok(Item::Ping(payload)),
            10 => return Ok(Item::Pong(payload)),
            _ => self.closed = true,
        }
        match &*payload {
            [] => Ok(Item::Close(None)),
            [_] => Err(ProtocolError::BadClose),
            [high, low, reason @ ..] => {
                let code = CloseCode(u16::from_be_bytes([*high, *low]));
                let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::NotUtf8)?;
                if !code.may_be_sent() {
                    return Err(ProtocolError::BadClose);
                }
                Ok(Item::Close(Some((code, reason.to_owned()))))
            }
        }
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    /// Frees the allocation when nothing is buffered.
    fn shrink(&mut self) {
        if let Some(partial) = &self.partial
            && partial.header.is_empty()
            && partial.frame.is_none()
            && partial.message.is_none()
        {
            self.partial = None;
        }
    }

    /// Begins a frame with an incomplete payload, or a fragment of a message.
    fn open(&mut self, header: Header) {
        let partial = self.partial();
        if matches!(header.opcode, 1 | 2) {
            partial.message = Some(Message { text: header.opcode == 1, ..Message::default() });
        }
        partial.frame = Some(OpenFrame { header, control: Vec::new(), seen: 0 });
    }

    /// Takes the available payload of the open frame and finishes the frame and its message if complete.
    fn go_on<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Item<'a>>, ProtocolError> {
        let partial = self.partial.as_mut().expect("go_on is called when a frame is open");
        let frame = partial.frame.as_mut().expect("go_on is called when a frame is open");
        let header = frame.header;
        let len = (header.len - frame.seen).min(input.len());
        let mut mask = header.mask;
        mask.rotate_left(frame.seen % 4);
        frame.seen += len;
        let piece = unmask_front(input, len, mask);
        let complete = frame.seen == header.len;
        if header.is_control() {
            frame.control.extend_from_slice(piece);
        } else {
            let message = partial.message.as_mut().expect("a data frame belongs to a message");
            message.bytes.extend_from_slice(piece);
            if message.text && !message.utf8.push(piece) {
                return Err(ProtocolError::NotUtf8);
            }
        }
        if !complete {
            return Ok(None);
        }
        let frame = partial.frame.take().expect("it was there a moment ago");
        let item = if header.is_control() {
            Some(self.control(header.opcode, Payload::Owned(frame.control.into()))?)
        } else if header.fin {
            let message = partial.message.take().expect("it was there a moment ago");
            let Message { text, bytes, utf8 } = message;
            if text && !utf8.is_whole() {
                return Err(ProtocolError::NotUtf8);
            }
            let payload = Payload::Owned(bytes.into());
            Some(if text { Item::Text(payload) } else { Item::Binary(payload) })
        } else {
            None
        };
        self.shrink();
        Ok(item)
    }
}

fn take_front<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

fn unmask_front<'a>(input: &mut &'a mut [u8], len: usize, mask: [u8; 4]) -> &'a [u8] {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame of a client.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        crate::frame::masked(first, payload, [0x12, 0x34, 0x56, 0x78])
    }

    /// Decoded items with owned bytes, which outlive the buffer.
    fn own(item: Item<'_>) -> Item<'static> {
        let keep = |payload: Payload<'_>| Payload::Owned(payload.into_bytes());
        match item {
            Item::Text(payload) => Item::Text(keep(payload)),
            Item::Binary(payload) => Item::Binary(keep(payload)),
            Item::Ping(payload) => Item::Ping(keep(payload)),
            Item::Pong(payload) => Item::Pong(keep(payload)),
            Item::Close(said) => Item::Close(said),
        }
    }

    fn decode_in(bytes: &[u8], cut: usize, limits: Limits) -> Result<Vec<Item<'static>>, ProtocolError> {
        let mut decoder = Decoder::new(limits);
        let mut items = Vec::new();
        for chunk in bytes.chunks(cut.max(1)) {
            let mut chunk = chunk.to_vec();
            let mut input = &mut chunk[..];
            while let Some(item) = decoder.next(&mut input)? {
                items.push(own(item));
            }
        }
        Ok(items)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Item<'static>>, ProtocolError> {
        decode_in(bytes, usize::MAX, Limits::default())
    }

    fn text(text: &str) -> Item<'static> {
        Item::Text(Payload::Owned(Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn fragments_are_assembled_around_control_frames() {
        let bytes = [frame(0x01, b"Hel"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"lo")].concat();
        let ping = Item::Ping(Payload::Borrowed(b"?"));
        assert_eq!(decode(&bytes).unwrap(), [ping, text("Hello")]);
    }

    #[test]
    fn a_complete_frame_is_borrowed_without_a_copy() {
        let mut bytes = frame(0x81, b"hello");
        let mut input = &mut bytes[..];
        let mut decoder = Decoder::new(Limits::default());
        assert!(matches!(decoder.next(&mut input), Ok(Some(Item::Text(Payload::Borrowed(b"hello"))))));
        assert!(decoder.partial.is_none());
    }

    #[test]
    fn a_protocol_violation_has_its_error_and_close_code() {
        use ProtocolError::*;
        let long = [&[0x81, 0xff], &u64::MAX.to_be_bytes()[..], &[0; 4]].concat();
        let padded = [&[0x81, 0xfe, 0, 5], &[0; 9][..]].concat();
        let table: &[(&str, Vec<u8>, ProtocolError, u16)] = &[
            ("not masked", vec![0x81, 1, b'x'], NotMasked, 1002),
            ("reserved bit", frame(0xc1, b""), ReservedBit, 1002),
            ("reserved data opcode", frame(0x83, b""), ReservedOpCode(3), 1002),
            ("reserved control opcode", frame(0x8b, b""), ReservedOpCode(11), 1002),
            ("long ping", frame(0x89, &[0; 126]), BadControl, 1002),
            ("fragmented ping", frame(0x09, b""), BadControl, 1002),
            ("top bit", long, BadLength, 1002),
            ("padded length", padded, BadLength, 1002),
            ("lone continuation", frame(0x80, b""), NothingToContinue, 1002),
            ("message in message", [frame(0x01, b""), frame(0x81, b"")].concat(), Interleaved, 1002),
            ("one-byte close", frame(0x88, b"x"), BadClose, 1002),
            ("close 1005", frame(0x88, &1005_u16.to_be_bytes()), BadClose, 1002),
            ("close reason", frame(0x88, b"\x03\xe8\xff"), NotUtf8, 1007),
            ("text", frame(0x81, b"\xff"), NotUtf8, 1007),
            ("text cut off", frame(0x81, b"\xc3"), NotUtf8, 1007),
            ("text in pieces cut off", [frame(0x01, b"\xc3"), frame(0x80, b"")].concat(), NotUtf8, 1007),
            ("big", frame(0x82, &[0; 101]), TooBig { len: 101, limit: 100 }, 1009),
            (
                "big in sum",
                [frame(0x02, &[0; 60]), frame(0x80, &[0; 60])].concat(),
                TooBig { len: 120, limit: 100 },
                1009,
            ),
        ];
        let limits = Limits { frame_bytes_max: 100, message_bytes_max: 100 };
        for (what, bytes, error, code) in table {
            for cut in [1, 3, usize::MAX] {
                assert_eq!(decode_in(bytes, cut, limits).as_ref(), Err(error), "{what}");
            }
            assert_eq!(error.close_code(), CloseCode(*code), "{what}");
        }
    }

    #[test]
    fn invalid_text_is_refused_before_its_frame_is_complete() {
        let bytes = frame(0x81, b"good\xffmore to come");
        assert_eq!(decode_in(&bytes[..11], 4, Limits::default()), Err(ProtocolError::NotUtf8));
    }

    #[test]
    fn an_oversized_frame_is_refused_at_its_header() {
        let limits = Limits { frame_bytes_max: 100, message_bytes_max: 100 };
        let bytes = frame(0x82, &[0; 2000]);
        assert!(matches!(decode_in(&bytes[..4], 1, limits), Err(ProtocolError::TooBig { len: 2000, .. })));
    }

    #[test]
    fn input_after_a_close_frame_is_ignored() {
        let bytes = [frame(0x88, b"\x03\xe8bye"), frame(0x81, b"x"), vec![0xff; 10]].concat();
        assert_eq!(decode(&bytes).unwrap(), [Item::Close(Some((CloseCode::NORMAL, "bye".into())))]);
    }

    #[test]
    fn an_idle_decoder_is_small() {
        assert!(size_of::<Decoder>() <= 32);
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let payload = proptest::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            ".{0,200}".prop_map(|text| frame(0x81, text.as_bytes())),
            payload.clone().prop_map(|bytes| frame(0x82, &bytes)),
            (payload.clone(), payload).prop_map(|(a, b)| [
                frame(0x02, &a),
                frame(0x8a, b""),
                frame(0x80, &b)
            ]
            .concat()),
            ".{0,20}".prop_map(|text| frame(0x89, text.as_bytes())),
        ]
    }

    proptest! {
        #[test]
        fn every_split_yields_the_same_items(frames in proptest::collection::vec(any_frame(), 1..6), cut in 1_usize..64) {
            let bytes = frames.concat();
            let whole = decode(&bytes).unwrap();
            prop_assert_eq!(decode_in(&bytes, cut, Limits::default()).unwrap(), whole);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 1_usize..64) {
            let split = decode_in(&bytes, cut, Limits::default());
            prop_assert_eq!(split.is_ok(), decode(&bytes).is_ok());
        }
    }
}
