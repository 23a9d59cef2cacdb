//! HTTP requests of commands.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use switchboard_tls::server::Certificate;

use crate::args::Certificates;

/// A client whose requests fail after a time.
pub(super) fn client(
    timeout: Duration,
    certificates: &Certificates,
) -> anyhow::Result<reqwest::ClientBuilder> {
    let Certificates { root_certificate, client_certificate, client_key } = certificates;
    let roots = root_certificate.as_deref().map(read).transpose()?;
    let tls = switchboard_tls::client_config(roots.as_slice());
    let mut tls = tls.with_context(|| in_file(root_certificate.as_deref()))?;
    if let (Some(chain), Some(key)) = (client_certificate, client_key) {
        let certificate = Certificate::from_pem(&read(chain)?, &read(key)?);
        certificate.with_context(|| in_file(Some(chain)))?.show_in(&mut tls);
    }
    Ok(reqwest::Client::builder().timeout(timeout).tls_backend_preconfigured(tls))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn in_file(path: Option<&Path>) -> String {
    format!("cannot use {}", path.unwrap_or(Path::new("the public authorities")).display())
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
    let text = cause.to_string();
    let fix = FIXES.iter().find(|(part, _)| text.contains(part));
    let fix = fix.map(|(_, fix)| format!("\n\nhint: {fix}")).unwrap_or_default();
    anyhow!("{text}{fix}").context(format!("cannot reach {address}"))
}

/// Parts of errors of TLS, and what to do.
const FIXES: &[(&str, &str)] = &[
    ("UnknownIssuer", "--root-certificate trusts the authority of the server's certificate"),
    (
        "CaUsedAsEndEntity",
        "the server's certificate is that of an authority; make one for servers, with openssl's option -addext \
         basicConstraints=critical,CA:FALSE",
    ),
    ("CertificateRequired", "the server asks for a certificate: --client-certificate and --client-key"),
];
