//! What is dispatched reaches real sockets on real nodes, through a real Redis.

mod live;
mod originals;
mod support;
mod waiting;
