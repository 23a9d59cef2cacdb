//! The certificates of the running server: loads them, obtains them from an authority, notices when their files change,
//! and replaces them while connections are open.
//!
//! If the files of a certificate cannot be used, its last usable version stays in use. `/readyz` says `degraded` then, and so does it
//! when a certificate is missing or is not valid now.

mod acme;
mod acme_folder;
mod client_roots;
mod error;
mod watched;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::gauge;
use switchboard::net::Tls;
use switchboard_log::{limited, printable, with_causes};
use switchboard_tls::server::{ACME_TLS_ALPN, Certificate, ServedCertificates, server_config};

use crate::config::{Config, TlsCertificate, TlsFileError, TlsFiles, TlsListener};
use acme::{Acme, AcmeError};
use client_roots::ClientRoots;
pub use error::TlsError;
use watched::{Watched, count_reload};

/// How often the files are read. Two reads in a row fit into the 10 s in which a change takes effect.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// The name of the certificate of `tls.acme` in metrics and logs.
const ACME: &str = "acme";

/// The certificates in use.
pub(crate) struct ServerTls {
    pairs: Mutex<Vec<Pair>>,
    served: Arc<ServedCertificates>,
    tls: Tls,
    /// TLS of the API, if its clients need certificates.
    api: Option<ClientRoots>,
    acme: Option<Obtained>,
}

/// A certificate in use, and the state of its files.
struct Pair {
    paths: TlsCertificate,
    files: TlsFiles,
    certificate: Certificate,
    watched: Watched,
}

/// The certificate from an authority.
struct Obtained {
    acme: Acme,
    state: Mutex<ObtainedState>,
}

struct ObtainedState {
    /// `None` before the first one is issued.
    certificate: Option<Certificate>,
    has_failed: bool,
}

impl ServerTls {
    /// Loads all certificates; `None` if TLS is off.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, TlsError> {
        if !config.tls.is_on() {
            return Ok(None);
        }
        let pairs = load(config)?;
        let served = Arc::new(ServedCertificates::default());
        let mut of_clients = server_config(served.clone(), None)?;
        let acme = config.tls.acme.is_on().then(|| Obtained::open(config)).transpose()?;
        if acme.is_some() {
            of_clients.alpn_protocols.push(ACME_TLS_ALPN.to_vec());
        }
        let roots = config.api.client_ca_file.as_ref().filter(|_| config.tls.covers(TlsListener::Api));
        let api = roots.map(|path| ClientRoots::open(path, served.clone())).transpose()?;
        let tls = Tls::new(Arc::new(of_clients));
        let opened = ServerTls { pairs: Mutex::new(Vec::new()), served, tls, api, acme };
        opened.set(pairs);
        Ok(Some(opened))
    }

    /// TLS of a listener; `None` if the listener is plain.
    pub(crate) fn of(&self, listener: TlsListener, config: &Config) -> Option<Tls> {
        let tls = match (listener, &self.api) {
            (TlsListener::Api, Some(api)) => api.tls(),
            _ => &self.tls,
        };
        config.tls.covers(listener).then(|| tls.clone())
    }

    /// Replaces all certificates by those of new settings, or none if one of them cannot be used.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), TlsError> {
        let loaded = load(config).and_then(|pairs| {
            self.api.as_ref().map(ClientRoots::reload).transpose()?;
            Ok(pairs)
        });
        count_reload(loaded.is_ok());
        self.set(loaded?);
        Ok(())
    }

    /// Keeps the certificates current. Never ready.
    pub(crate) async fn keep_current(self: Arc<Self>) {
        tokio::join!(self.clone().watch(), self.obtain());
    }

    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let this = self.clone();
            // A file system may block for long.
            let _ = tokio::task::spawn_blocking(move || this.refresh()).await;
        }
    }

    /// Obtains the certificate of `tls.acme`, if it is on.
    async fn obtain(&self) {
        let Some(obtained) = &self.acme else { return };
        let current = obtained.state().certificate.clone();
        let done = |outcome: Result<&Certificate, &AcmeError>| {
            count_reload(outcome.is_ok());
            match outcome {
                Ok(certificate) => {
                    obtained.set(certificate);
                    limited!(INFO, "certificate obtained; open connections stay open");
                }
                Err(error) => {
                    obtained.state().has_failed = true;
                    limited!(
                        ERROR,
                        error = printable(with_causes(error)),
                        "certificate not obtained; trying again later"
                    );
                }
            }
            self.serve();
        };
        obtained.acme.run(&self.served, current, done).await;
    }

    /// Returns true if a certificate cannot be replaced, is missing, or is not valid now.
    pub(crate) fn is_degraded(&self) -> bool {
        let is_bad =
            |pair: &Pair| pair.watched.is_reported() || validity_problem(&pair.certificate).is_some();
        self.pairs().iter().any(is_bad)
            || self.api.as_ref().is_some_and(ClientRoots::is_reported)
            || self.acme.as_ref().is_some_and(Obtained::is_degraded)
    }

    fn pairs(&self) -> MutexGuard<'_, Vec<Pair>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, pairs: Vec<Pair>) {
        for pair in self.pairs().iter().filter(|old| pairs.iter().all(|pair| pair.paths != old.paths)) {
            // A series cannot be removed; 0 is in the past, and no alert considers it.
            expiry_gauge(pair.name()).set(0.0);
        }
        pairs.iter().for_each(|pair| report(pair.name(), &pair.certificate));
        *self.pairs() = pairs;
        self.serve();
    }

    /// Serves the certificates in use.
    fn serve(&self) {
        let pairs = self.pairs();
        let mut certificates: Vec<Certificate> = pairs.iter().map(|pair| pair.certificate.clone()).collect();
        let mut failed = pairs.iter().filter(|pair| pair.watched.is_reported()).count();
        failed += usize::from(self.api.as_ref().is_some_and(ClientRoots::is_reported));
        if let Some(obtained) = &self.acme {
            let state = obtained.state();
            certificates.extend(state.certificate.clone());
            failed += usize::from(state.has_failed);
        }
        self.served.set(&certificates);
        gauge!("switchboard_tls_certificates_failed").set(failed as f64);
    }

    /// Reads the files of all certificates, and serves those that have changed.
    fn refresh(&self) {
        let paths: Vec<TlsCertificate> = self.pairs().iter().map(|pair| pair.paths.clone()).collect();
        for paths in paths {
            let read = paths.read();
            // A reload of the settings may have replaced them meanwhile.
            if let Some(pair) = self.pairs().iter_mut().find(|pair| pair.paths == paths) {
                pair.refresh(read);
            }
        }
        if let Some(api) = &self.api {
            api.refresh();
        }
        self.serve();
    }
}

impl Pair {
    fn name(&self) -> String {
        self.paths.cert.display().to_string()
    }

    /// Replaces the certificate if the files have changed and can be used.
    fn refresh(&mut self, read: Result<TlsFiles, TlsFileError>) {
        if read.as_ref().is_ok_and(|files| *files == self.files) {
            return self.watched.recovered();
        }
        let loaded = read.and_then(|files| Ok((self.paths.parse(&files)?, files)));
        match loaded {
            Ok((certificate, files)) => {
                (self.certificate, self.files) = (certificate, files);
                self.watched.replaced(&self.paths.cert);
                report(self.name(), &self.certificate);
            }
            Err(error) => self.watched.failed(&self.paths.cert, &error),
        }
    }
}

impl Obtained {
    fn open(config: &Config) -> Result<Self, TlsError> {
        let acme = Acme::new(&config.tls.acme).map_err(|error| TlsError::Acme(error.into()))?;
        let certificate = acme.stored();
        if let Some(certificate) = &certificate {
            report(ACME.into(), certificate);
        }
        Ok(Obtained { acme, state: Mutex::new(ObtainedState { certificate, has_failed: false }) })
    }

    fn state(&self) -> MutexGuard<'_, ObtainedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, certificate: &Certificate) {
        report(ACME.into(), certificate);
        *self.state() = ObtainedState { certificate: Some(certificate.clone()), has_failed: false };
    }

    fn is_degraded(&self) -> bool {
        let state = self.state();
        let is_valid = state.certificate.as_ref().is_some_and(|held| validity_problem(held).is_none());
        state.has_failed || !is_valid
    }
}

/// Notes for the operator about the certificates of these settings, which can be loaded.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let problem = |paths: &TlsCertificate| {
        let (_, certificate) = paths.load().ok()?;
        let problem = validity_problem(&certificate)?;
        Some(format!("clients refuse the certificate {}, because it is {problem}", paths.cert.display()))
    };
    config.tls.certificates.iter().filter_map(problem).collect()
}

fn load(config: &Config) -> Result<Vec<Pair>, TlsError> {
    let load = |paths: &TlsCertificate| {
        let (files, certificate) = paths.load()?;
        Ok(Pair { paths: paths.clone(), files, certificate, watched: Watched::default() })
    };
    config.tls.certificates.iter().map(load).collect()
}

/// Shows how long a certificate is valid.
fn report(name: String, certificate: &Certificate) {
    if let Some(problem) = validity_problem(certificate) {
        limited!(WARN, certificate = printable(&name), problem, "clients refuse the certificate");
    }
    let end = certificate.not_after().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    expiry_gauge(name).set(end.as_secs() as f64);
}

/// Why clients refuse a certificate now.
fn validity_problem(certificate: &Certificate) -> Option<&'static str> {
    let now = SystemTime::now();
    match (certificate.not_before() <= now, now <= certificate.not_after()) {
        (true, true) => None,
        (false, _) => Some("not yet valid"),
        (_, false) => Some("expired"),
    }
}

fn expiry_gauge(name: String) -> metrics::Gauge {
    gauge!("switchboard_tls_certificate_not_after_seconds", "certificate" => name)
}
