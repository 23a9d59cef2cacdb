//! Decodes the frames of a client into messages.
//!
//! A complete frame in the read buffer is unmasked in place and borrowed, without a copy. Only an incomplete
//! frame or message is buffered, in an allocation that is freed when it is complete.

mod header;
mod message;
mod partial;
mod unmask;

pub use header::Limits;
pub use message::{Message, MessageBytes};

use crate::close::CloseCode;
use crate::error::ProtocolError;
use crate::frame::OpCode;
use header::{Context, HEADER_BYTES_MAX, Header};
use partial::{Partial, PartialFrame, PartialMessage};
use unmask::{take_front, unmask_front};

/// Decodes bytes into messages. Small while nothing is incomplete, because every idle connection has one.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    partial: Option<Box<Partial>>,
    /// Frames since the last [`take_frames`](Decoder::take_frames).
    frames: u32,
    closed: bool,
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        Decoder { limits, partial: None, frames: 0, closed: false }
    }

    /// Takes the next message or control frame off the front of `input`; `None` when the input is used up. An incomplete message is
    /// buffered for the next call. Input after a close frame is ignored. After an error the decoder must not be
    /// used again.
    pub fn next<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Message<'a>>, ProtocolError> {
        if self.closed {
            *input = &mut [];
        }
        while !input.is_empty() {
            if self.partial.as_ref().is_some_and(|partial| partial.frame.is_some()) {
                match self.continue_frame(input)? {
                    Some(message) => return Ok(Some(message)),
                    None => continue,
                }
            }
            let Some(header) = self.take_header(input)? else { return Ok(None) };
            self.frames += 1;
            let is_unfragmented = header.fin && header.opcode != OpCode::Continuation;
            if is_unfragmented && header.len <= input.len() {
                let payload = unmask_front(input, header.len, header.mask);
                return self.complete_frame(header, payload).map(Some);
            }
            self.begin_frame(header);
            if header.len == 0
                && let Some(message) = self.continue_frame(input)?
            {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Number of frames since the last call: messages, fragments and control frames. A frame counts once its header
    /// is complete.
    pub fn take_frames(&mut self) -> u32 {
        std::mem::take(&mut self.frames)
    }

    /// Returns true if a header, a frame or a message is incomplete.
    pub fn is_unfinished(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes allocated for incomplete input.
    pub fn unfinished_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.allocated_bytes())
    }

    /// Takes a header off the front of `input`; buffers an incomplete one and returns `None`.
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        let buffered = self.partial.as_ref().map_or(0, |partial| partial.header.len());
        if buffered > 0 {
            return self.take_rest_of_header(buffered, input);
        }
        let Some((header, len)) = Header::parse(input, &self.context())? else {
            self.buffer_header(input);
            return Ok(None);
        };
        take_front(input, len);
        Ok(Some(header))
    }

    /// The same if the first bytes of the header are buffered.
    fn take_rest_of_header(
        &mut self,
        buffered: usize,
        input: &mut &mut [u8],
    ) -> Result<Option<Header>, ProtocolError> {
        let mut joined = [0; HEADER_BYTES_MAX];
        let more = (HEADER_BYTES_MAX - buffered).min(input.len());
        joined[..buffered].copy_from_slice(&self.partial().header);
        joined[buffered..buffered + more].copy_from_slice(&input[..more]);
        let Some((header, len)) = Header::parse(&joined[..buffered + more], &self.context())? else {
            self.buffer_header(input);
            return Ok(None);
        };
        take_front(input, len - buffered);
        self.partial().header = Vec::new();
        self.shrink();
        Ok(Some(header))
    }

    fn buffer_header(&mut self, input: &mut &mut [u8]) {
        let rest = take_front(input, input.len());
        self.partial().header.extend_from_slice(rest);
    }

    #[inline]
    fn context(&self) -> Context {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        Context { limits: self.limits, message_bytes: message.map(PartialMessage::len) }
    }

    /// Decodes a complete frame: a control frame or an unfragmented message.
    fn complete_frame<'a>(
        &mut self,
        header: Header,
        payload: &'a [u8],
    ) -> Result<Message<'a>, ProtocolError> {
        match header.opcode {
            OpCode::Text if std::str::from_utf8(payload).is_err() => Err(ProtocolError::NotUtf8),
            OpCode::Text => Ok(Message::Text(MessageBytes::Borrowed(payload))),
            OpCode::Binary => Ok(Message::Binary(MessageBytes::Borrowed(payload))),
            _ => self.control_frame(header.opcode, MessageBytes::Borrowed(payload)),
        }
    }

    fn control_frame<'a>(
        &mut self,
        opcode: OpCode,
        payload: MessageBytes<'a>,
    ) -> Result<Message<'a>, ProtocolError> {
        match opcode {
            OpCode::Ping => Ok(Message::Ping(payload)),
            OpCode::Pong => Ok(Message::Pong(payload)),
            _ => {
                self.closed = true;
                decode_close(&payload).map(Message::Close)
            }
        }
    }

    /// Begins a frame with an incomplete payload, or a fragment of a message.
    fn begin_frame(&mut self, header: Header) {
        let partial = self.partial();
        if matches!(header.opcode, OpCode::Text | OpCode::Binary) {
            partial.message = Some(PartialMessage::new(header.opcode == OpCode::Text));
        }
        partial.frame = Some(PartialFrame::new(header));
    }

    /// Takes the available payload of the partial frame. Returns a message if that completes a control frame or a
    /// message.
    fn continue_frame<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Message<'a>>, ProtocolError> {
        let partial = self.partial.as_mut().expect("the caller has checked that a frame is partial");
        let frame = partial.frame.as_mut().expect("the caller has checked that a frame is partial");
        let piece = frame.take_piece(input);
        if frame.header.is_control() {
            frame.control.extend_from_slice(piece);
        } else {
            let message = partial.message.as_mut().expect("a data frame belongs to a message");
            message.push(piece)?;
        }
        if !frame.is_complete() {
            return Ok(None);
        }
        let PartialFrame { header, control, .. } = partial.frame.take().expect("it is used above");
        let message = if header.is_control() {
            Some(self.control_frame(header.opcode, MessageBytes::Owned(control.into()))?)
        } else if header.fin {
            let message = partial.message.take().expect("it is used above");
            Some(message.finish()?)
        } else {
            None
        };
        self.shrink();
        Ok(message)
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    /// Frees the allocation when nothing is buffered.
    fn shrink(&mut self) {
        self.partial.take_if(|partial| partial.is_empty());
    }
}

/// The code and reason of a close frame, if present.
fn decode_close(payload: &[u8]) -> Result<Option<(CloseCode, String)>, ProtocolError> {
    match payload {
        [] => Ok(None),
        [_] => Err(ProtocolError::BadClose),
        [high, low, reason @ ..] => {
            let code = CloseCode(u16::from_be_bytes([*high, *low]));
            let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::NotUtf8)?;
            if !code.may_be_sent() {
                return Err(ProtocolError::BadClose);
            }
            Ok(Some((code, reason.to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// A frame of a client.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        crate::frame::masked(first, payload, [0x12, 0x34, 0x56, 0x78])
    }

    /// Decoded messages with owned bytes, which outlive the buffer.
    fn own(message: Message<'_>) -> Message<'static> {
        let keep = |payload: MessageBytes<'_>| MessageBytes::Owned(payload.into_bytes());
        match message {
            Message::Text(payload) => Message::Text(keep(payload)),
            Message::Binary(payload) => Message::Binary(keep(payload)),
            Message::Ping(payload) => Message::Ping(keep(payload)),
            Message::Pong(payload) => Message::Pong(keep(payload)),
            Message::Close(close) => Message::Close(close),
        }
    }

    fn decode_in(bytes: &[u8], cut: usize, limits: Limits) -> Result<Vec<Message<'static>>, ProtocolError> {
        let mut decoder = Decoder::new(limits);
        let mut messages = Vec::new();
        for chunk in bytes.chunks(cut.max(1)) {
            let mut chunk = chunk.to_vec();
            let mut input = &mut chunk[..];
            while let Some(message) = decoder.next(&mut input)? {
                messages.push(own(message));
            }
        }
        Ok(messages)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Message<'static>>, ProtocolError> {
        decode_in(bytes, usize::MAX, Limits::default())
    }

    fn text(text: &str) -> Message<'static> {
        Message::Text(MessageBytes::Owned(Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn fragments_are_assembled_around_control_frames() {
        let bytes = [frame(0x01, b"Hel"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"lo")].concat();
        let ping = Message::Ping(MessageBytes::Borrowed(b"?"));
        assert_eq!(decode(&bytes).unwrap(), [ping, text("Hello")]);
    }

    #[test]
    fn a_complete_frame_is_borrowed_without_a_copy() {
        let mut bytes = frame(0x81, b"hello");
        let mut input = &mut bytes[..];
        let mut decoder = Decoder::new(Limits::default());
        assert!(matches!(
            decoder.next(&mut input),
            Ok(Some(Message::Text(MessageBytes::Borrowed(b"hello"))))
        ));
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
        assert_eq!(decode(&bytes).unwrap(), [Message::Close(Some((CloseCode::NORMAL, "bye".into())))]);
    }

    #[test]
    fn every_frame_is_counted_once_however_it_is_split() {
        let message =
            [frame(0x01, b"a"), frame(0x00, b""), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"b")];
        let bytes = [message.concat(), frame(0x8a, b""), frame(0x82, &[0; 300])].concat();
        for cut in [1, 2, 7, usize::MAX] {
            let mut decoder = Decoder::new(Limits::default());
            let mut frames = 0;
            for chunk in bytes.chunks(cut) {
                let mut chunk = chunk.to_vec();
                let mut input = &mut chunk[..];
                while decoder.next(&mut input).unwrap().is_some() {}
                frames += decoder.take_frames();
            }
            assert_eq!(frames, 7, "in pieces of {cut}");
        }
    }

    #[test]
    fn input_is_unfinished_until_its_last_byte() {
        for bytes in
            [frame(0x81, &[b'x'; 300]), [frame(0x01, b"x"), frame(0x80, b"")].concat(), frame(0x89, b"?")]
        {
            let mut decoder = Decoder::new(Limits::default());
            let (last, rest) = bytes.split_last().unwrap();
            for byte in rest {
                let mut input = &mut [*byte][..];
                assert_eq!(decoder.next(&mut input), Ok(None));
                assert!(decoder.is_unfinished() && decoder.unfinished_bytes() > 0);
            }
            let mut last = [*last];
            assert!(decoder.next(&mut &mut last[..]).unwrap().is_some());
            assert_eq!((decoder.is_unfinished(), decoder.unfinished_bytes()), (false, 0));
        }
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
        fn every_split_yields_the_same_messages(frames in proptest::collection::vec(any_frame(), 1..6), cut in 1_usize..64) {
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
