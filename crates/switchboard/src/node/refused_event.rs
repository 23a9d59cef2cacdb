//! The refusal of a client's event, as clients receive it that understand notices of the server.

/// Why the server has not done what an event asks for. A request receives it as its reply.
pub(crate) struct RefusedEvent<'a> {
    /// The name; `None` if the frame cannot be decoded.
    pub(crate) event: Option<&'a str>,
    /// The stable code, such as `no_handler`.
    pub(crate) code: &'a str,
    /// The explanation for people.
    pub(crate) error: String,
    /// Time until a repetition may succeed.
    pub(crate) retry_after_ms: Option<u64>,
}

impl<'a> RefusedEvent<'a> {
    pub(crate) fn new(event: &'a str, code: &'a str, error: String) -> Self {
        RefusedEvent { event: Some(event), code, error, retry_after_ms: None }
    }

    /// The code of a frame that is no event.
    pub(crate) const BAD_FRAME: &'static str = "bad_frame";

    /// The refusal of a frame that cannot be decoded.
    pub(crate) fn bad_frame(error: String) -> Self {
        RefusedEvent { event: None, code: Self::BAD_FRAME, error, retry_after_ms: None }
    }
}
