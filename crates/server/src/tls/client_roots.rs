//! TLS of the API for backends with certificates: the certificate authorities of backends are in a file that may change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard::net::Tls;
use switchboard_tls::server::{ServedCertificates, server_config};

use super::error::TlsError;
use super::watched::Watched;

/// The certificate authorities in use, and the state of their file.
pub(super) struct ClientRoots {
    path: PathBuf,
    served: Arc<ServedCertificates>,
    tls: Tls,
    state: Mutex<State>,
}

struct State {
    contents: Vec<u8>,
    watched: Watched,
}

impl ClientRoots {
    pub(super) fn open(path: &Path, served: Arc<ServedCertificates>) -> Result<Self, TlsError> {
        let contents = std::fs::read(path).map_err(TlsError::ClientRoots)?;
        let tls = Tls::new(Arc::new(server_config(served.clone(), Some(&contents))?));
        let state = Mutex::new(State { contents, watched: Watched::default() });
        Ok(ClientRoots { path: path.to_owned(), served, tls, state })
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(super) fn is_reported(&self) -> bool {
        self.state().watched.is_reported()
    }

    /// Reads the file at once.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        self.replace().map(drop)
    }

    /// Reads the file and reports a failure.
    pub(super) fn refresh(&self) {
        let outcome = self.replace();
        let mut state = self.state();
        match outcome {
            Ok(true) => state.watched.replaced(&self.path),
            Ok(false) => state.watched.recovered(),
            Err(error) => state.watched.failed(&self.path, &error),
        }
    }

    /// Returns true if other contents are used now. Sessions are not resumed across the change, because the tickets of a
    /// configuration have keys of its own.
    fn replace(&self) -> Result<bool, TlsError> {
        let contents = std::fs::read(&self.path).map_err(TlsError::ClientRoots)?;
        if contents == self.state().contents {
            return Ok(false);
        }
        self.tls.replace(Arc::new(server_config(self.served.clone(), Some(&contents))?));
        self.state().contents = contents;
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
