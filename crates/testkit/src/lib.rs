//! What Switchboard's tests share: a server, a wire-level peer, contracts.
