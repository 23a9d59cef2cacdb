//! A Rust client for Switchboard and emit servers.
