//! Outgoing frames of the emit protocol as text.

use serde::Serialize;
use switchboard_event::{Payload, PayloadError};
use switchboard_wire::emit;

pub(crate) fn event<T: Serialize + ?Sized>(name: &str, data: &T) -> Result<String, PayloadError> {
    let mut text = Vec::new();
    emit::write_event(&mut text, name, &payload(data)?);
    Ok(into_string(text))
}

/// The data of a frame. Servers ignore frames that nest too deeply, so these are refused here.
pub(crate) fn payload<T: Serialize + ?Sized>(data: &T) -> Result<Payload, PayloadError> {
    Payload::of(data)?.checked_depth()
}

pub(crate) fn request(name: &str, data: &Payload, id: u64) -> String {
    let mut text = Vec::new();
    emit::write_request(&mut text, name, data, &id.to_string());
    into_string(text)
}

pub(crate) fn reply(ack: &Payload, data: &Payload) -> String {
    let mut text = Vec::new();
    emit::write_reply(&mut text, ack, data);
    into_string(text)
}

fn into_string(text: Vec<u8>) -> String {
    String::from_utf8(text).expect("JSON is written as UTF-8")
}
