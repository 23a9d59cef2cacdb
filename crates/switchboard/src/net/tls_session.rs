//! The TLS state of one connection: turns ciphertext into plaintext and the reverse, without I/O.
//!
//! It uses the unbuffered interface of rustls and holds bytes only while a record is incomplete, or is read or sent in
//! parts. An idle connection therefore has no buffers.

use std::collections::VecDeque;
use std::sync::Arc;

use switchboard_tls::rustls::server::UnbufferedServerConnection;
use switchboard_tls::rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use switchboard_tls::rustls::{Error, HandshakeKind, ServerConfig};

/// Most bytes of ciphertext without any plaintext in it, after the handshake: four full records.
const WITHOUT_PLAINTEXT_MAX: usize = 64 * 1024;

/// Most bytes that a record adds to its plaintext: header, nonce, padding and authentication tag.
const RECORD_OVERHEAD: usize = 256;

/// Plaintext in one record, at most.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// The TLS state of a connection.
pub(crate) struct TlsSession {
    rustls: UnbufferedServerConnection,
    /// Ciphertext of a record that is not complete.
    incomplete: Vec<u8>,
    /// Plaintext that exceeds the buffer of its reader.
    pub(crate) unread: VecDeque<u8>,
    /// Ciphertext that the kernel has not accepted.
    pub(crate) unsent: VecDeque<u8>,
    /// Bytes of ciphertext since the last plaintext.
    without_plaintext: usize,
    /// The peer sends nothing more.
    pub(crate) is_peer_closed: bool,
    /// The notice that nothing more will be sent is on its way.
    is_closed: bool,
}

/// Why a peer's bytes are not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Rustls(#[from] Error),
    #[error("the peer sends TLS records without data")]
    NoData,
    #[error("the keys of the TLS session are used up")]
    Exhausted,
}

impl From<TlsError> for std::io::Error {
    fn from(error: TlsError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

impl TlsSession {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        Ok(TlsSession {
            rustls: UnbufferedServerConnection::new(config)?,
            incomplete: Vec::new(),
            unread: VecDeque::new(),
            unsent: VecDeque::new(),
            without_plaintext: 0,
            is_peer_closed: false,
            is_closed: false,
        })
    }

    /// Returns true until the peer has proved that it has the keys and, if required, a certificate.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// Returns true if the handshake resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.rustls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Puts the ciphertext of the incomplete record at the beginning of `buffer`, where the next bytes follow it. Returns
    /// its length.
    pub(crate) fn begin_receive(&mut self, buffer: &mut Vec<u8>, read_max: usize) -> usize {
        let len = self.incomplete.len();
        if buffer.len() < len + read_max {
            buffer.resize(len + read_max, 0);
        }
        buffer[..len].copy_from_slice(&self.incomplete);
        self.incomplete = Vec::new();
        len
    }

    /// Decrypts `ciphertext`, of which `new` bytes have just been read. The plaintext goes to `buffer` and what exceeds
    /// it to `unread`; answers of the TLS layer go to `out`, also if the result is an error. Returns the length of the
    /// plaintext in `buffer`.
    pub(crate) fn receive(
        &mut self,
        ciphertext: &mut [u8],
        new: usize,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let (mut filled, mut received) = (0, 0);
        let unread = &mut self.unread;
        let mut sink = |plaintext: &[u8]| {
            let (now, later) = plaintext.split_at(plaintext.len().min(buffer.len() - filled));
            buffer[filled..filled + now.len()].copy_from_slice(now);
            filled += now.len();
            received += plaintext.len();
            unread.extend(later);
        };
        let mut process = || process(&mut self.rustls, ciphertext, &[], out, &mut sink);
        let Processed { used, is_peer_closed } = match process() {
            Ok(processed) => processed,
            Err(error) => {
                // rustls has an alert for the peer, which names the reason.
                let _ = process_alert(&mut self.rustls, out);
                return Err(error);
            }
        };
        self.is_peer_closed |= is_peer_closed;
        if !is_peer_closed {
            self.incomplete = ciphertext[used..].to_vec();
        }
        self.without_plaintext = if received > 0 { 0 } else { self.without_plaintext + new };
        match !self.is_handshaking() && self.without_plaintext > WITHOUT_PLAINTEXT_MAX {
            true => Err(TlsError::NoData),
            false => Ok(filled),
        }
    }

    /// Appends `plaintext` to `out` as ciphertext, behind what the TLS layer itself has to send.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let mut incomplete = std::mem::take(&mut self.incomplete);
        let unread = &mut self.unread;
        let processed =
            process(&mut self.rustls, &mut incomplete, plaintext, out, &mut |bytes| unread.extend(bytes))?;
        incomplete.drain(..processed.used);
        self.incomplete = incomplete;
        Ok(())
    }

    /// Appends the notice to `out` that nothing more will be sent; later calls do nothing.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let mut incomplete = std::mem::take(&mut self.incomplete);
        if let UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } =
            self.rustls.process_tls_records(&mut incomplete)
        {
            let start = out.len();
            out.resize(start + RECORD_OVERHEAD, 0);
            let written = traffic.queue_close_notify(&mut out[start..]).unwrap_or(0);
            out.truncate(start + written);
        }
        self.incomplete = incomplete;
    }
}

/// The outcome of processing ciphertext.
struct Processed {
    /// Bytes of ciphertext that are done with.
    used: usize,
    is_peer_closed: bool,
}

/// Processes ciphertext as far as it is complete, passes its plaintext to `sink`, and appends answers and then the
/// ciphertext of `plaintext` to `out`.
fn process(
    rustls: &mut UnbufferedServerConnection,
    ciphertext: &mut [u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<Processed, TlsError> {
    let mut done = Processed { used: 0, is_peer_closed: false };
    loop {
        let UnbufferedStatus { mut discard, state } =
            rustls.process_tls_records(&mut ciphertext[done.used..]);
        let is_last = match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    sink(record.payload);
                }
                false
            }
            ConnectionState::EncodeTlsData(mut data) => {
                let mut encode = |out: &mut [u8]| match data.encode(out) {
                    Ok(len) => Ok(len),
                    Err(EncodeError::InsufficientSize(size)) => Err(size.required_size),
                    // It has nothing more to encode.
                    Err(EncodeError::AlreadyEncoded) => Ok(0),
                };
                append(out, &mut encode);
                false
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                false
            }
            ConnectionState::PeerClosed => {
                done.is_peer_closed = true;
                false
            }
            ConnectionState::WriteTraffic(mut traffic) => {
                if !plaintext.is_empty() {
                    encrypt(plaintext, out, |plaintext, out| traffic.encrypt(plaintext, out))?;
                }
                true
            }
            // Nothing more can be done before the peer sends more, or at all. Early data is not offered.
            _ => true,
        };
        done.used += discard;
        if is_last {
            return Ok(done);
        }
    }
}

/// Appends the alert that rustls has for the peer after an error.
fn process_alert(rustls: &mut UnbufferedServerConnection, out: &mut Vec<u8>) -> Result<Processed, TlsError> {
    process(rustls, &mut [], &[], out, &mut |_| {})
}

/// Appends what `write` writes to `out`. `write` returns the size that it needs if it gets less.
fn append(out: &mut Vec<u8>, write: &mut dyn FnMut(&mut [u8]) -> Result<usize, usize>) {
    let start = out.len();
    if let Err(required) = write(&mut []) {
        out.resize(start + required, 0);
        let written = write(&mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    }
}

/// Appends the ciphertext of `plaintext` to `out`.
fn encrypt(
    plaintext: &[u8],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&[u8], &mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), TlsError> {
    let (start, records) = (out.len(), plaintext.len() / RECORD_BYTES_MAX + 1);
    out.resize(start + plaintext.len() + records * RECORD_OVERHEAD, 0);
    let written = match write(plaintext, &mut out[start..]) {
        Err(EncryptError::InsufficientSize(size)) => {
            out.resize(start + size.required_size, 0);
            write(plaintext, &mut out[start..])
        }
        written => written,
    };
    match written {
        Ok(written) => {
            out.truncate(start + written);
            Ok(())
        }
        Err(_) => {
            out.truncate(start);
            Err(TlsError::Exhausted)
        }
    }
}
