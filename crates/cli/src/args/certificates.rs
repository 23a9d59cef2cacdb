//! The certificates of HTTP requests.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// The certificates that a command trusts and shows.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Certificates {
    /// A root certificate to trust beside those of public authorities, as a PEM file. A self-signed certificate is its
    /// own root.
    #[arg(long, value_name = "FILE")]
    pub(crate) root_certificate: Option<PathBuf>,
    /// The certificate to show to a node with `api.client_ca_file`, and its chain, as a PEM file.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// The key of that certificate, as a PEM file.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub(crate) client_key: Option<PathBuf>,
}
