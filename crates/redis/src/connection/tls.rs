//! TLS for `rediss://` addresses: crypto provider and trusted authorities.
//!
//! Mozilla's authorities are compiled in; options may replace them. The redis crate uses the process's
//! default crypto provider, and rustls panics if there is none to choose. So ring is installed here unless
//! the process has chosen already.

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, TlsCertificates};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub(crate) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// Prepares TLS if the address uses it, and returns the given authorities, if any. `roots` is PEM.
pub(crate) fn certificates(
    address: &ConnectionInfo,
    roots: Option<&[u8]>,
) -> RedisResult<Option<TlsCertificates>> {
    if !is_tls(address) {
        return Ok(None);
    }
    if CryptoProvider::get_default().is_none() {
        // Fails if another thread has just installed one, which is as good.
        let _ = ring::default_provider().install_default();
    }
    let Some(roots) = roots else { return Ok(None) };
    if !String::from_utf8_lossy(roots).contains("-----BEGIN CERTIFICATE-----") {
        // The redis crate would trust no authority, and fail at every connection instead of here.
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "there is no certificate in PEM")));
    }
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(roots.to_vec()) }))
}
