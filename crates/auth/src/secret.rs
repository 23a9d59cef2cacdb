//! The length of shared secrets.

/// Shortest secret of HS256 tokens, in bytes: the length of the hash (RFC 7518, 3.2). An attacker with a
/// token can try secrets without the server, so a shorter one can be guessed.
pub const SECRET_BYTES_MIN: usize = 32;
