//! Load scenarios and measurement for Switchboard and its peers.
