//! The options of a client.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use crate::token::TokenSource;

/// Options of a [`Client`](crate::Client), each with its default.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) reconnect: bool,
    pub(crate) resume: bool,
    pub(crate) reconnect_delay: Duration,
    pub(crate) max_reconnect_delay: Duration,
    pub(crate) max_retries: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) queue_bytes_max: usize,
    pub(crate) message_bytes_max: usize,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) token: Option<TokenSource>,
    #[cfg(feature = "tls")]
    pub(crate) root_certificates: Vec<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            reconnect: false,
            resume: true,
            reconnect_delay: Duration::from_secs(1),
            max_reconnect_delay: Duration::from_secs(30),
            max_retries: 10,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            queue_bytes_max: 0,
            message_bytes_max: 64 * 1024 * 1024,
            headers: Vec::new(),
            token: None,
            #[cfg(feature = "tls")]
            root_certificates: Vec::new(),
        }
    }
}

impl Options {
    /// Whether the client reconnects after a lost connection, for any close code. Default false. The new
    /// connection has a new socket id and is in no rooms: join them again in `@reconnect`.
    pub fn with_reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// With [`with_reconnect`](Self::with_reconnect), resumes the session if the server keeps it: the socket has its id,
    /// rooms, tags and user again. Default true.
    pub fn with_resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Returns true if the client resumes its sessions.
    pub(crate) fn resumes(&self) -> bool {
        self.reconnect && self.resume
    }

    /// The longest delay before the first reconnect. It doubles with each failed try. Default 1 s.
    pub fn with_reconnect_delay(mut self, delay: Duration) -> Self {
        self.reconnect_delay = delay;
        self
    }

    /// The longest delay before any reconnect. Default 30 s.
    pub fn with_max_reconnect_delay(mut self, delay: Duration) -> Self {
        self.max_reconnect_delay = delay;
        self
    }

    /// Failed tries in a row after which the client gives up. Default 10.
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// How long opening a connection may take. Default 10 s.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a request waits for its reply. Default 10 s.
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long a close may take, including the frames sent before and the server's close frame. Then the
    /// connection is dropped. Default 5 s.
    pub fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How many bytes of events are queued while the client is disconnected, to be sent after a reconnect.
    /// Default 0: an `emit` without a connection fails.
    pub fn with_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// Largest message of the server in bytes, all fragments together. The connection ends if a message is larger, or
    /// if the server sends as many bytes without completing one, such as pings. Default 64 MiB.
    pub fn with_message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Adds a header to the handshake, such as `authorization`. May be called several times.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Logs the client in with the tokens that a function returns. It is called for every connection, whose handshake
    /// has the token in `authorization: Bearer …`, and when four fifths of the lifetime of a JSON Web Token have passed:
    /// the next one replaces it on the open connection, by `@identify`. If the function fails, the connect fails, or the
    /// error goes to `@error` and the function is called again after 30 s.
    ///
    /// ```
    /// use switchboard_client::Options;
    ///
    /// async fn fetch_token() -> Result<String, std::io::Error> {
    ///     Ok("from the login service".into())
    /// }
    /// let options = Options::default().with_reconnect(true).with_token_source(fetch_token);
    /// ```
    pub fn with_token_source<Fut, E>(mut self, source: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.token = Some(TokenSource::new(source));
        self
    }

    /// Adds a root certificate for `wss://` addresses besides Mozilla's roots: a self-signed certificate of the
    /// server, or a private authority. Takes one certificate in DER, or any number in PEM. May be called several
    /// times. An invalid certificate fails the connect.
    #[cfg(feature = "tls")]
    pub fn with_root_certificate(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(certificate.into());
        self
    }
}
