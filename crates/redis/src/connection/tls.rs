//! TLS for `rediss://`: whose certificates are believed.
//!
//! The roots are Mozilla's, compiled in, unless the options name others in their place. The redis crate
//! takes the provider that the process has, and rustls panics if it has to guess one: where nobody
//! chose, it is ring here.

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, TlsCertificates};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

use crate::options::Options;

pub(crate) fn is_wanted(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// Prepares TLS if the address is one of it; returns the authorities that the options name.
pub(crate) fn certificates(
    address: &ConnectionInfo,
    options: &Options,
) -> RedisResult<Option<TlsCertificates>> {
    if !is_wanted(address) {
        return Ok(None);
    }
    if CryptoProvider::get_default().is_none() {
        // Somebody may have chosen in the meantime, which is as well.
        let _ = ring::default_provider().install_default();
    }
    let Some(roots) = &options.root_certificates else { return Ok(None) };
    if !String::from_utf8_lossy(roots).contains("-----BEGIN CERTIFICATE-----") {
        // The redis crate would believe nobody, and say so at every connection.
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "there is no certificate in PEM")));
    }
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(roots.clone()) }))
}
