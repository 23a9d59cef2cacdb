//! The server as a library: its applications, transcripts of every protocol, and the generated reference.

mod apps;
mod guide;
mod reference;
mod transcripts;
