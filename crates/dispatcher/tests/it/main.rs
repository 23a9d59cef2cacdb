//! Dispatching to real sockets of real nodes through a real Redis server.

mod inbox;
mod legacy;
mod live;
mod support;
