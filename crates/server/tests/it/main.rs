//! The server as a library: transcripts of every protocol, and the generated reference.

mod guide;
mod reference;
mod transcripts;
