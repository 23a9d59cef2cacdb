//! HTTP requests of commands.

use std::error::Error;
use std::time::Duration;

use anyhow::anyhow;

/// A client whose requests fail after a time.
pub(super) fn client(timeout: Duration) -> anyhow::Result<reqwest::ClientBuilder> {
    let tls = switchboard_tls::client_config::<&[u8]>(&[])?;
    Ok(reqwest::Client::builder().timeout(timeout).tls_backend_preconfigured(tls))
}

/// A client for a server on this machine, which accepts any certificate, because the server is reached by its IP address.
pub(super) fn local_client(timeout: Duration) -> reqwest::ClientBuilder {
    let tls = switchboard_tls::unverified_client_config();
    reqwest::Client::builder().timeout(timeout).tls_backend_preconfigured(tls)
}

/// Why a request failed: the innermost cause, because those around it name parts of the library.
pub(super) fn explain(error: &reqwest::Error, address: &str, timeout: Duration) -> anyhow::Error {
    if error.is_timeout() {
        return anyhow!("{address} did not answer within {} s", timeout.as_secs_f32());
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    anyhow!("{cause}").context(format!("cannot reach {address}"))
}
