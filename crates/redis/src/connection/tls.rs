//! TLS for `rediss://` addresses: crypto provider and trusted authorities.
//!
//! Mozilla's authorities are compiled in; options may replace them.

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, TlsCertificates};

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
    // The redis crate uses the process's provider.
    switchboard_tls::install_crypto_provider();
    let Some(roots) = roots else { return Ok(None) };
    if !String::from_utf8_lossy(roots).contains("-----BEGIN CERTIFICATE-----") {
        // The redis crate would trust no authority, and fail at every connection instead of here.
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "there is no certificate in PEM")));
    }
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(roots.to_vec()) }))
}
