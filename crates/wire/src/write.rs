//! Writing JSON.

use std::fmt::{self, Write as _};

use switchboard_event::{Position, RoomName};

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is JSON and a Vec accepts all bytes");
}

pub(crate) fn write_fmt(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    struct Utf8<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Utf8<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    Utf8(out).write_fmt(arguments).expect("a Vec accepts all bytes");
}

/// `,"room":R,"position":{"epoch":E,"offset":N}`: the place of a message in the history of its room.
pub(crate) fn write_position(out: &mut Vec<u8>, room: &RoomName, position: Position) {
    let Position { epoch, offset } = position;
    out.extend_from_slice(b",\"room\":");
    write_text(out, room);
    write_fmt(out, format_args!(",\"position\":{{\"epoch\":\"{epoch}\",\"offset\":{offset}}}"));
}
