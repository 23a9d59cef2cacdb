//! Options for accepting connections: TLS, origins of web pages, trusted proxies, worker threads; and
//! [`UpgradeService`], with which another HTTP server accepts connections.

// The only layer of the crate that reads and writes bytes. `accept` accepts TCP connections, performs the handshake
// of `tls` if there is one, and serves HTTP on them. `upgrade` turns a handshake into a `connection`, which reads
// frames and starts handlers. Frames for the connection itself are sent inline at the end of its turn; frames for
// other sockets are sent by the `flusher`. With `worker_threads`, each connection belongs to one thread.

pub(crate) mod accept;
mod app;
pub(crate) mod buffers;
pub(crate) mod connection;
pub(crate) mod credential;
pub(crate) mod drain;
pub(crate) mod flusher;
pub(crate) mod forwarded;
pub(crate) mod heartbeat;
pub(crate) mod http;
pub(crate) mod http2_connection;
pub(crate) mod http_client;
pub(crate) mod http_connection;
pub(crate) mod http_stream;
pub(crate) mod limiter;
mod listener;
pub(crate) mod options;
pub(crate) mod origin;
pub(crate) mod serve_http;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod tcp_options;
pub(crate) mod tcp_peer;
mod throttle;
pub(crate) mod timed_body;
pub(crate) mod timed_stream;
pub(crate) mod tls;
pub(crate) mod tls_peer;
pub(crate) mod tls_session;
pub(crate) mod transport;
pub(crate) mod upgrade;
pub(crate) mod worker_threads;

pub use accept::Serve;
pub use forwarded::ForwardedHeader;
pub use http_client::HttpClient;
pub use options::AcceptOptions;
pub use origin::{Origin, OriginError};
pub use serve_http::ServeHttp;
pub use tls::{Tls, TlsError};
pub use upgrade::UpgradeService;
pub use worker_threads::WorkerThreads;
