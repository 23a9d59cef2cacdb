//! The stream of a connection: TCP, or TLS on TCP if the command line says so.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use switchboard_tls::rustls::client::Resumption;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::options::Options;

/// A stream of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Set if connections use TLS.
static TLS: OnceLock<TlsConnector> = OnceLock::new();

/// Makes all connections from now on use TLS, if the options say so.
pub(crate) fn configure(options: &Options) {
    if options.tls {
        let mut config = switchboard_tls::unverified_client_config();
        if !options.resume {
            config.resumption = Resumption::disabled();
        }
        TLS.get_or_init(|| TlsConnector::from(Arc::new(config)));
    }
}

/// Performs the handshake of TLS, if connections use it.
pub(crate) async fn open(stream: TcpStream) -> Result<Box<dyn Stream>> {
    match TLS.get() {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let name = "localhost".try_into().expect("it is a name");
            Ok(Box::new(tls.connect(name, stream).await.context("the TLS handshake failed")?))
        }
    }
}
