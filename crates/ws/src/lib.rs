//! RFC 6455 for servers, without I/O.
