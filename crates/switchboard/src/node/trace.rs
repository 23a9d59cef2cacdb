//! Traces: the recorded path of single messages.
//!
//! A message is traced if its sender asks for it, or as one of a sample. Its id travels with the event, through inboxes,
//! histories and other nodes. Each node records its steps in a bounded ring; [`collect`] reads the rings of all nodes.

pub(crate) mod collect;
pub(crate) mod options;
pub(crate) mod points;
mod receivers;
pub(crate) mod record;
mod ring;
mod sentences;
mod stored;
pub(crate) mod tracer;
