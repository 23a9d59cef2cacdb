//! The options of TCP connections.

use std::io;

use socket2::SockRef;

/// Bytes in the kernel's buffer that it has not sent yet. With more, the kernel would hide for seconds whether a slow client
/// still reads; bytes that are on the way do not count, so a fast link is not slowed.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Sets the options of a connection, or of a listener whose connections inherit them.
pub(crate) fn set(socket: SockRef<'_>) -> io::Result<()> {
    // Frames are sent whole, so Nagle's algorithm would only add latency.
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    Ok(())
}
