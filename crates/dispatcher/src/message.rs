//! A message to dispatch.

use serde::Serialize;
use switchboard_event::{Name, OverflowPolicy, Payload, TraceId};
use switchboard_wire::mesa::event_name;

use crate::error::MessageError;

/// A message with the operation, data and type of the Mesa protocol. Clients of other protocols receive it as an
/// event whose name is the type.
#[derive(Debug, Clone)]
pub struct Message {
    pub(crate) name: Name,
    pub(crate) data: Payload,
    pub(crate) sync: bool,
    pub(crate) policy: OverflowPolicy,
    pub(crate) trace: Option<TraceId>,
    op: i64,
    kind: Option<Name>,
}

impl Message {
    /// Creates a message. The operation of application messages is 0.
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

    /// Creates a message without a type. Clients of other protocols receive it as an event named `@op/` and the
    /// operation, such as `@op/0`.
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

    /// Creates a message from JSON text, which is sent unchanged.
    pub fn parse(op: i64, json: &str, kind: &str) -> Result<Self, MessageError> {
        Message::with_payload(op, Payload::parse(json)?, Some(Name::new(kind)?))
    }

    fn with_payload(op: i64, data: Payload, kind: Option<Name>) -> Result<Self, MessageError> {
        let data = data.checked_depth()?;
        let (name, policy) = (event_name(op, kind.as_ref())?, OverflowPolicy::Live);
        Ok(Message { name, data, sync: true, policy, trace: None, op, kind })
    }

    /// Does not store the message in inboxes, regardless of the dispatcher's options.
    pub fn without_sync(self) -> Self {
        Message { sync: false, ..self }
    }

    /// Sets what becomes of the message at a client that is too slow, and does not store it in inboxes. Original servers do
    /// not receive the policy.
    ///
    /// ```
    /// use switchboard_dispatcher::{Message, OverflowPolicy};
    ///
    /// let tick = Message::new(0, &[3, 4], "TICK")?.with_policy(OverflowPolicy::Oldest);
    /// # Ok::<(), switchboard_dispatcher::MessageError>(())
    /// ```
    pub fn with_policy(self, policy: OverflowPolicy) -> Self {
        Message { policy, sync: false, ..self }
    }

    /// Records what becomes of the message at each node. Every dispatch of this message or of its clones shares the id
    /// [`trace_id`](Self::trace_id), so use a new message for each. Original servers do not record anything.
    ///
    /// ```
    /// use switchboard_dispatcher::Message;
    ///
    /// let message = Message::new(0, &[3, 4], "TICK")?.with_trace();
    /// println!("switchboard explain {}", message.trace_id().unwrap());
    /// # Ok::<(), switchboard_dispatcher::MessageError>(())
    /// ```
    pub fn with_trace(self) -> Self {
        Message { trace: Some(TraceId::random()), ..self }
    }

    /// The id of the trace; none unless the message is [traced](Self::with_trace).
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace
    }

    /// The message in the format of original Mesa servers.
    pub(crate) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct LegacyMessage<'a> {
            op: i64,
            d: &'a Payload,
            #[serde(skip_serializing_if = "Option::is_none")]
            t: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            o: Option<LegacyOptions>,
        }
        #[derive(Serialize)]
        struct LegacyOptions {
            sync: bool,
        }
        let o = (!self.sync).then_some(LegacyOptions { sync: false });
        let message = LegacyMessage { op: self.op, d: &self.data, t: self.kind.as_deref(), o };
        serde_json::to_string(&message).expect("numbers, texts and payloads are JSON")
    }
}

/// The message that makes original servers close a user's connections.
pub(crate) const DISCONNECT: &str = r#"{"op":5,"d":{},"t":"DISCONNECT_CLIENT"}"#;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchboard_event::PayloadError;

    use super::*;

    #[test]
    fn the_event_name_is_derived_from_operation_and_type() {
        let message = Message::new(0, &json!({ "n": 1 }), "CHAT").unwrap();
        assert_eq!((&*message.name, message.data.as_bytes()), ("CHAT", &br#"{"n":1}"#[..]));
        assert_eq!(message.to_json(), r#"{"op":0,"d":{"n":1},"t":"CHAT"}"#);
        let message = Message::parse(7, "1e400", "CHAT").unwrap().without_sync();
        assert_eq!(&*message.name, "@op/7/CHAT");
        assert_eq!(message.to_json(), r#"{"op":7,"d":1e400,"t":"CHAT","o":{"sync":false}}"#);
        let message = Message::untyped(0, &[1]).unwrap();
        assert_eq!(&*message.name, "@op/0");
        assert_eq!(message.to_json(), r#"{"op":0,"d":[1]}"#);
    }

    #[test]
    fn an_invalid_type_or_invalid_json_is_refused() {
        assert!(matches!(Message::new(0, &1, ""), Err(MessageError::Type(_))));
        assert!(matches!(Message::new(0, &1, &"x".repeat(257)), Err(MessageError::Type(_))));
        assert!(matches!(Message::parse(0, "{", "A"), Err(MessageError::Data(_))));
    }

    #[test]
    fn data_may_nest_as_deep_as_in_a_frame_of_a_client() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Message::parse(0, &nested(63), "A").is_ok());
        let too_deep = |message| matches!(message, Err(MessageError::Data(PayloadError::TooDeep)));
        assert!(too_deep(Message::parse(0, &nested(64), "A")));
        let value: serde_json::Value = serde_json::from_str(&nested(64)).unwrap();
        assert!(too_deep(Message::new(0, &value, "A")) && too_deep(Message::untyped(0, &value)));
    }
}
