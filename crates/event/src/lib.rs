//! The shared words of Switchboard: ids, names, events, audiences.
