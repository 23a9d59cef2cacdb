//! The TLS state of one connection: turns ciphertext into plaintext and the reverse, without I/O.
//!
//! It uses the unbuffered interface of rustls and holds bytes only while a record is incomplete, or is read or sent in
//! parts. An idle connection therefore has no buffers.

use std::collections::VecDeque;
use std::sync::Arc;

use switchboard_tls::rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use switchboard_tls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
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
    /// The session has ended with an error. rustls must not be called again, because its state refers to ciphertext that is
    /// gone.
    has_failed: bool,
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
    #[error("the TLS session has failed before")]
    Failed,
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
            has_failed: false,
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
        if self.has_failed {
            return Err(TlsError::Failed);
        }
        let (mut filled, mut received) = (0, 0);
        let unread = &mut self.unread;
        let mut sink = |plaintext: &[u8]| {
            let (now, later) = plaintext.split_at(plaintext.len().min(buffer.len() - filled));
            buffer[filled..filled + now.len()].copy_from_slice(now);
            filled += now.len();
            received += plaintext.len();
            unread.extend(later);
        };
        let processed = process(&mut self.rustls, ciphertext, &[], out, &mut sink);
        self.has_failed = processed.is_err();
        let Processed { used, is_peer_closed } = processed?;
        self.is_peer_closed |= is_peer_closed;
        self.incomplete = ciphertext[used..].to_vec();
        self.without_plaintext = if received > 0 { 0 } else { self.without_plaintext + new };
        match !self.is_handshaking() && self.without_plaintext > WITHOUT_PLAINTEXT_MAX {
            true => Err(TlsError::NoData),
            false => Ok(filled),
        }
    }

    /// Appends `plaintext` to `out` as ciphertext, behind what the TLS layer itself has to send.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.has_failed {
            return Err(TlsError::Failed);
        }
        let mut incomplete = std::mem::take(&mut self.incomplete);
        let unread = &mut self.unread;
        let mut sink = |bytes: &[u8]| unread.extend(bytes);
        let processed = process(&mut self.rustls, &mut incomplete, plaintext, out, &mut sink);
        self.has_failed = processed.is_err();
        let Processed { used, is_peer_closed } = processed?;
        self.is_peer_closed |= is_peer_closed;
        incomplete.drain(..used);
        self.incomplete = incomplete;
        Ok(())
    }

    /// Appends the notice to `out` that nothing more will be sent; later calls do nothing.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_closed, true) || self.has_failed {
            return;
        }
        let mut incomplete = std::mem::take(&mut self.incomplete);
        let UnbufferedStatus { discard, state } = self.rustls.process_tls_records(&mut incomplete);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let start = out.len();
            out.resize(start + RECORD_OVERHEAD, 0);
            let written = traffic.queue_close_notify(&mut out[start..]).unwrap_or(0);
            out.truncate(start + written);
            incomplete.drain(..discard);
            self.incomplete = incomplete;
        } else {
            self.has_failed = true;
        }
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
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                append_alert(rustls, &mut ciphertext[done.used + discard..], out);
                return Err(error.into());
            }
        };
        let is_last = match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    sink(record.payload);
                }
                false
            }
            ConnectionState::EncodeTlsData(mut data) => {
                append(&mut data, out);
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

/// Appends the alert that rustls has for the peer after an error, which names the reason. `ciphertext` follows the record with
/// the error.
fn append_alert(rustls: &mut UnbufferedServerConnection, ciphertext: &mut [u8], out: &mut Vec<u8>) {
    if let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut data)), .. } =
        rustls.process_tls_records(ciphertext)
    {
        append(&mut data, out);
    }
}

/// Appends a message of the TLS layer itself.
fn append(data: &mut EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        out.resize(start + size.required_size, 0);
        let written = data.encode(&mut out[start..]).unwrap_or(0);
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use switchboard_testkit::TestCertificate;
    use switchboard_tls::rustls::{ClientConfig, ClientConnection};
    use switchboard_tls::server::{Certificate, ServedCertificates, server_config};

    use super::*;

    /// The state of a generator of numbers (xorshift), so that a failure can be repeated.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }
    }

    fn config(certificate: &TestCertificate, client_roots: Option<&TestCertificate>) -> Arc<ServerConfig> {
        let loaded = Certificate::from_pem(certificate.cert.as_bytes(), certificate.key.as_bytes()).unwrap();
        let served = Arc::new(ServedCertificates::new(&[loaded]));
        Arc::new(server_config(served, client_roots.map(|roots| roots.cert.as_bytes())).unwrap())
    }

    /// A session, and the plaintext that it has received.
    struct Server {
        session: TlsSession,
        received: Vec<u8>,
    }

    impl Server {
        /// Receives ciphertext in one read. Returns the answer.
        fn receive(&mut self, ciphertext: &[u8]) -> Result<Vec<u8>, TlsError> {
            let (mut buffer, mut plain, mut out) = (Vec::new(), [0; 100], Vec::new());
            let start = self.session.begin_receive(&mut buffer, ciphertext.len());
            buffer[start..start + ciphertext.len()].copy_from_slice(ciphertext);
            let end = start + ciphertext.len();
            let len = self.session.receive(&mut buffer[..end], ciphertext.len(), &mut plain, &mut out)?;
            self.received.extend(&plain[..len]);
            self.received.extend(self.session.unread.drain(..));
            Ok(out)
        }
    }

    /// Lets a client talk to a session. `change` may change what the client sends, and returns it in pieces.
    fn converse(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
        mut change: impl FnMut(Vec<u8>) -> Vec<Vec<u8>>,
    ) -> (Server, Result<(), TlsError>) {
        let mut client = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
        let mut server = Server { session: TlsSession::new(server).unwrap(), received: Vec::new() };
        let mut is_sent = false;
        for _ in 0..10 {
            if !client.is_handshaking() && !is_sent {
                client.writer().write_all(&[7; 50_000]).unwrap();
                is_sent = true;
            }
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            for piece in change(flight) {
                match server.receive(&piece) {
                    Ok(answer) => {
                        let mut answer = &answer[..];
                        while !answer.is_empty() && client.read_tls(&mut answer).is_ok() {
                            if client.process_new_packets().is_err() {
                                break;
                            }
                        }
                    }
                    Err(error) => return (server, Err(error)),
                }
            }
        }
        (server, Ok(()))
    }

    fn pieces(bytes: &[u8], numbers: &mut Numbers) -> Vec<Vec<u8>> {
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((1 + numbers.below(3000)).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = more;
        }
        pieces
    }

    #[test]
    fn data_is_received_whole_in_whatever_pieces_it_arrives() {
        let (certificate, backend) =
            (TestCertificate::new(&["localhost"]), TestCertificate::new(&["backend"]));
        let mut numbers = Numbers(1);
        for (client, roots) in
            [(certificate.client(), None), (backend.client_of(&certificate), Some(&backend))]
        {
            for _ in 0..20 {
                let server = config(&certificate, roots);
                let (mut server, ended) =
                    converse(client.clone(), server, |flight| pieces(&flight, &mut numbers));
                ended.unwrap();
                assert_eq!(server.received, [7; 50_000]);
                let mut out = Vec::new();
                server.session.encrypt(b"answer", &mut out).unwrap();
                server.session.close(&mut out);
                assert!(out.len() > 6 && !server.session.is_handshaking());
            }
        }
    }

    #[test]
    fn changed_bytes_end_the_session_with_an_error_and_never_with_a_panic() {
        let (certificate, backend) =
            (TestCertificate::new(&["localhost"]), TestCertificate::new(&["backend"]));
        let clients = [certificate.client(), backend.client_of(&certificate)];
        let servers = [config(&certificate, None), config(&certificate, Some(&backend))];
        for seed in 1..600 {
            let mut numbers = Numbers(seed);
            let (client, server) = (clients[numbers.below(2)].clone(), servers[numbers.below(2)].clone());
            let mut changes = 1 + numbers.below(3);
            let (mut server, _) = converse(client, server, |mut flight| {
                while changes > 0 && !flight.is_empty() && numbers.below(3) > 0 {
                    changes -= 1;
                    let at = numbers.below(flight.len());
                    match numbers.below(4) {
                        0 => flight[at] ^= 1 << numbers.below(8),
                        1 => flight.truncate(at),
                        2 => drop(flight.remove(at)),
                        _ => flight.insert(at, numbers.below(256) as u8),
                    }
                }
                pieces(&flight, &mut numbers)
            });
            // Another thread may send, and the connection may be closed, at any time.
            let mut out = Vec::new();
            let _ = server.session.encrypt(&[1; 100], &mut out);
            let _ = server.receive(&[22, 3, 3, 0, 1, 1]);
            let _ = server.session.encrypt(&[1; 100], &mut out);
            server.session.close(&mut out);
        }
    }
}
