//! The answer of a backend.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use switchboard::access::{Admitted, ConnectRefusal, Rights};
use switchboard::{Identity, Payload, ReplyError, RoomName, UserId};
use switchboard_log::{limited, printable};

use super::call::Call;

/// The answer to an event, or to a connection. An empty body is an empty object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Answer {
    /// The reply to the client.
    pub(super) reply: Option<Payload>,
    /// An error reply, or the refusal of a connection.
    pub(super) error: Option<AnswerError>,
    /// Calls to execute before the reply is sent.
    #[serde(rename = "do")]
    pub(super) calls: Vec<Call>,
    /// The server's own handler goes on with the event.
    #[serde(rename = "continue")]
    pub(super) passes_on: bool,
    /// The user of a connecting client.
    pub(super) user: Option<String>,
    /// Its rights, in the form of the claim `can` of a token.
    pub(super) can: Option<BTreeMap<String, String>>,
    /// The rooms that it joins.
    pub(super) rooms: Vec<String>,
}

/// An error for the client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerError {
    /// A short name for programs.
    #[serde(default)]
    pub(super) code: Option<String>,
    /// A sentence for people.
    pub(super) message: String,
}

/// The answer does not fit the question.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerShapeError {
    #[error("the answer is not JSON of the expected form")]
    Json(#[from] serde_json::Error),
    #[error("the answer is not a JSON object")]
    NotAnObject,
}

/// The code of an error without one.
const DEFAULT_CODE: &str = "refused";

/// The close code of a refused connection: a policy of the server.
const POLICY: u16 = 1008;

impl Answer {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, AnswerShapeError> {
        match body.trim_ascii() {
            b"" => Ok(Answer::default()),
            body if body.starts_with(b"{") => Ok(serde_json::from_slice(body)?),
            _ => Err(AnswerShapeError::NotAnObject),
        }
    }

    /// The answer to a connection.
    pub(super) fn into_admitted(self) -> Result<Admitted, ConnectRefusal> {
        if let Some(AnswerError { message, .. }) = self.error {
            return Err(ConnectRefusal { code: POLICY, reason: message });
        }
        self.admitted().map_err(|error| {
            limited!(
                ERROR,
                error = printable(error),
                "backend admitted a client with an invalid value; the client is refused"
            );
            ConnectRefusal::unavailable()
        })
    }

    fn admitted(&self) -> Result<Admitted, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let user = self.user.as_deref().map(UserId::new).transpose().map_err(|error| text(&error))?;
        let patterns = self.can.iter().flatten().map(|(pattern, letters)| (&**pattern, &**letters));
        let rights = Rights::new(patterns).map_err(|error| text(&error))?;
        let rights = self.can.is_some().then(|| rights.into());
        let rooms: Result<Vec<RoomName>, _> = self.rooms.iter().map(|room| RoomName::new(room)).collect();
        if user.is_none() && rights.is_some() {
            return Err("`can` without `user`: rights belong to a user".into());
        }
        let identity = user.map(|user| Identity { rights, ..Identity::new(user) });
        Ok(Admitted { identity, rooms: rooms.map_err(|error| text(&error))? })
    }
}

impl AnswerError {
    /// The error as a client receives it, if it has not requested a reply too.
    pub(super) fn into_error(self) -> ReplyError {
        match self.code {
            Some(code) => ReplyError::new(code, self.message),
            None => ReplyError::new(DEFAULT_CODE, self.message),
        }
    }

    /// The error as the reply to a request.
    pub(super) fn into_reply(self) -> Payload {
        let code = self.code.as_deref().unwrap_or(DEFAULT_CODE);
        Payload::of(&json!({ "error": self.message, "code": code })).expect("texts are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_is_an_empty_object() {
        for body in ["", " \n", "{}"] {
            let answer = Answer::parse(body.as_bytes()).unwrap();
            assert!(answer.reply.is_none() && answer.error.is_none() && answer.calls.is_empty(), "{body}");
        }
    }

    #[test]
    fn an_answer_of_another_form_is_refused() {
        for bad in [
            "null",
            "[]",
            "{",
            r#"{"replies":1}"#,
            r#"{"error":"no"}"#,
            r#"{"error":{"code":"x"}}"#,
            r#"{"do":{"join":{"room":"a"}}}"#,
            r#"{"do":[{"enter":{"room":"a"}}]}"#,
            r#"{"do":[{"join":{"rooms":"a"}}]}"#,
            r#"{"do":[{"send":{"event":"x"}}]}"#,
        ] {
            assert!(Answer::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_connection_is_admitted_with_its_user_rights_and_rooms() {
        let admitted = |body: &str| Answer::parse(body.as_bytes()).unwrap().into_admitted();
        let all = admitted(r##"{"user":"7","can":{"#chat-*":"js"},"rooms":["lobby"]}"##).unwrap();
        let identity = all.identity.unwrap();
        assert_eq!((&*identity.user, identity.rights.is_some(), all.rooms.len()), ("7", true, 1));
        assert!(admitted("").unwrap().identity.is_none());
        let refused = admitted(r#"{"error":{"message":"banned"}}"#).unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (1008, "banned"));
        for bad in [r#"{"user":""}"#, r#"{"rooms":[""]}"#, r#"{"user":"7","can":{"x":"j"}}"#, r#"{"can":{}}"#]
        {
            assert_eq!(admitted(bad).unwrap_err().code, 1013, "{bad}");
        }
    }
}
