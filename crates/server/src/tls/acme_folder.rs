//! The folder with the account and the certificate of ACME, which only this server can read.
//!
//! The names of the files depend on the authority and the domains, so changed settings do not use a certificate for others.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use ring::digest::{SHA256, digest};

use crate::config::TlsAcme;

/// The files of one authority and one set of domains.
pub(super) struct AcmeFolder {
    account: PathBuf,
    certificate: PathBuf,
}

/// A file or the folder cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be written, which tls.acme needs for its account and its certificate")]
pub(crate) struct FolderError(String, #[source] io::Error);

impl AcmeFolder {
    /// Creates the folder if there is none.
    pub(super) fn open(settings: &TlsAcme) -> Result<Self, FolderError> {
        let folder = &settings.folder;
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(folder, error)),
            _ => {}
        }
        let mut domains = settings.domains.clone();
        domains.sort();
        let directory = settings.directory_url();
        let account = folder.join(format!("account-{}.json", name_of(&[directory])));
        let names: Vec<&str> = [directory].into_iter().chain(domains.iter().map(String::as_str)).collect();
        Ok(AcmeFolder { account, certificate: folder.join(format!("certificate-{}.pem", name_of(&names))) })
    }

    /// The account; `None` if there is none that can be read.
    pub(super) fn account(&self) -> Option<AccountCredentials> {
        serde_json::from_slice(&fs::read(&self.account).ok()?).ok()
    }

    pub(super) fn store_account(&self, credentials: &AccountCredentials) -> Result<(), FolderError> {
        let text = serde_json::to_string(credentials).map_err(|error| failed(&self.account, error.into()))?;
        store(&self.account, &text)
    }

    /// The key and the certificate with its chain, in PEM.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        fs::read(&self.certificate).ok()
    }

    pub(super) fn store_certificate(&self, pem: &str) -> Result<(), FolderError> {
        store(&self.certificate, pem)
    }
}

/// A name for files, the same for the same texts.
fn name_of(texts: &[&str]) -> String {
    let digest = digest(&SHA256, texts.join("\n").as_bytes());
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces a file in one step.
fn store(path: &Path, text: &str) -> Result<(), FolderError> {
    let new = path.with_extension("new");
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: io::Error) -> FolderError {
    FolderError(path.display().to_string(), error)
}
