//! What is dispatched.

use serde::Serialize;
use switchboard_event::{Name, Payload, mesa_name};

use crate::MessageError;

/// A message: Mesa's operation, data and type. To sockets of other protocols it is an event whose name
/// is the type.
#[derive(Debug, Clone)]
pub struct Message {
    pub(crate) name: Name,
    pub(crate) data: Payload,
    pub(crate) sync: bool,
    op: i64,
    kind: Option<Name>,
}

impl Message {
    /// A message. Applications have operation 0.
    ///
    /// ```
    /// use serde_json::json;
    /// use switchboard_dispatcher::Message;
    ///
    /// let message = Message::new(0, &json!({ "content": "Hello" }), "NEW_MESSAGE")?;
    /// # Ok::<(), switchboard_dispatcher::MessageError>(())
    /// ```
    pub fn new<T: Serialize + ?Sized>(op: i64, data: &T, kind: &str) -> Result<Self, MessageError> {
        Message::with_payload(op, Payload::of(data)?, Some(Name::new(kind)?))
    }

    /// A message without a type. To sockets of other protocols it is an event that is called `@op/0`, or by another
    /// operation.
    ///
    /// ```
    /// use switchboard_dispatcher::Message;
    ///
    /// let message = Message::untyped(0, &[1, 2])?;
    /// # Ok::<(), switchboard_dispatcher::MessageError>(())
    /// ```
    pub fn untyped<T: Serialize + ?Sized>(op: i64, data: &T) -> Result<Self, MessageError> {
        Message::with_payload(op, Payload::of(data)?, None)
    }

    /// The same with JSON as it is.
    pub fn parse(op: i64, json: &str, kind: &str) -> Result<Self, MessageError> {
        Message::with_payload(op, Payload::parse(json)?, Some(Name::new(kind)?))
    }

    fn with_payload(op: i64, data: Payload, kind: Option<Name>) -> Result<Self, MessageError> {
        Ok(Message { name: mesa_name(op, kind.as_ref())?, data, sync: true, op, kind })
    }

    /// Does not wait for anybody, whatever the dispatcher's options say.
    pub fn without_sync(self) -> Self {
        Message { sync: false, ..self }
    }

    /// As originals have it.
    pub(crate) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Original<'a> {
            op: i64,
            d: &'a Payload,
            #[serde(skip_serializing_if = "Option::is_none")]
            t: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            o: Option<Wishes>,
        }
        #[derive(Serialize)]
        struct Wishes {
            sync: bool,
        }
        let o = (!self.sync).then_some(Wishes { sync: false });
        let original = Original { op: self.op, d: &self.data, t: self.kind.as_deref(), o };
        serde_json::to_string(&original).expect("numbers, texts and payloads are JSON")
    }
}

/// What originals take for the end of a user's connections.
pub(crate) const DISCONNECT: &str = r#"{"op":5,"d":{},"t":"DISCONNECT_CLIENT"}"#;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_an_event_by_its_type() {
        let message = Message::new(0, &json!({ "n": 1 }), "SAID").unwrap();
        assert_eq!((&*message.name, message.data.as_bytes()), ("SAID", &br#"{"n":1}"#[..]));
        assert_eq!(message.to_json(), r#"{"op":0,"d":{"n":1},"t":"SAID"}"#);
        let message = Message::parse(7, "1e400", "SAID").unwrap().without_sync();
        assert_eq!(&*message.name, "@op/7/SAID");
        assert_eq!(message.to_json(), r#"{"op":7,"d":1e400,"t":"SAID","o":{"sync":false}}"#);
        let message = Message::untyped(0, &[1]).unwrap();
        assert_eq!(&*message.name, "@op/0");
        assert_eq!(message.to_json(), r#"{"op":0,"d":[1]}"#);
    }

    #[test]
    fn what_cannot_be_a_message_is_refused() {
        assert!(matches!(Message::new(0, &1, ""), Err(MessageError::Type(_))));
        assert!(matches!(Message::new(0, &1, &"x".repeat(257)), Err(MessageError::Type(_))));
        assert!(matches!(Message::parse(0, "{", "A"), Err(MessageError::Data(_))));
    }
}
