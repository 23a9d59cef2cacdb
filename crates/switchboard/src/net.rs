//! Network I/O: the only layer of the crate that reads and writes bytes.
//!
//! `accept` accepts TCP connections and serves HTTP on them. `upgrade` turns a handshake into a
//! `connection`, which reads frames and starts handlers. Frames for the connection itself are sent
//! inline at the end of its turn; frames for other sockets are sent by the `flusher`. With `worker_threads`, each connection
//! belongs to one thread.

pub(crate) mod accept;
mod app;
pub(crate) mod buffers;
pub(crate) mod connection;
pub(crate) mod credential;
pub(crate) mod flusher;
pub(crate) mod forwarded;
pub(crate) mod heartbeat;
pub(crate) mod http;
pub(crate) mod http_client;
pub(crate) mod http_connection;
pub(crate) mod limiter;
mod listener;
pub(crate) mod options;
pub(crate) mod origin;
pub(crate) mod serve_http;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod tcp_options;
mod throttle;
pub(crate) mod timed_body;
pub(crate) mod timed_stream;
pub(crate) mod transport;
pub(crate) mod upgrade;
pub(crate) mod worker_threads;
