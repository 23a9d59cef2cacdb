//! How a client connects, and what it does when the connection goes.

use std::time::Duration;

/// Options of a [`Client`](crate::Client), each with its default.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) reconnect: bool,
    pub(crate) reconnect_delay: Duration,
    pub(crate) max_reconnect_delay: Duration,
    pub(crate) max_retries: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) queue_bytes_max: usize,
    pub(crate) headers: Vec<(String, String)>,
    #[cfg(feature = "tls")]
    pub(crate) root_certificates: Vec<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            reconnect: false,
            reconnect_delay: Duration::from_secs(1),
            max_reconnect_delay: Duration::from_secs(30),
            max_retries: 10,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            queue_bytes_max: 0,
            headers: Vec::new(),
            #[cfg(feature = "tls")]
            root_certificates: Vec::new(),
        }
    }
}

impl Options {
    /// Connects again when the connection is lost, whatever its close code. Default false. The
    /// server gives the new connection a new id and no rooms: join again in `@reconnect`.
    pub fn with_reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// The longest wait before the first try; it doubles with each. Default 1 s.
    pub fn with_reconnect_delay(mut self, delay: Duration) -> Self {
        self.reconnect_delay = delay;
        self
    }

    /// The longest wait before any try. Default 30 s.
    pub fn with_max_reconnect_delay(mut self, delay: Duration) -> Self {
        self.max_reconnect_delay = delay;
        self
    }

    /// Tries in a row before it gives up. Default 10; an open connection starts the count anew.
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// How long a connection may take to open. Default 10 s.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a request waits for its reply. Default 10 s.
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long a close may take: sending what was to be sent before, and the server's answer. Default
    /// 5 s; then the connection is cut.
    pub fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How many bytes of events are kept while the connection is away, to be sent when it is back.
    /// Default 0: an `emit` while away fails.
    pub fn with_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// A header of the handshake, such as `authorization`; may be called many times.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A certificate to trust at a `wss://` address besides Mozilla's roots: that of a server which
    /// signed its own, or of an authority of your own. One in DER, or any number in PEM; may be
    /// called many times. A certificate that cannot be read fails the connect.
    #[cfg(feature = "tls")]
    pub fn with_root_certificate(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(certificate.into());
        self
    }
}
