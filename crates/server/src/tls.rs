//! The certificates of the running server: loads them, notices when their files change, and replaces them while
//! connections are open.
//!
//! A certificate whose files cannot be used keeps its last usable version. `/readyz` says `degraded` then, and so does it
//! when a certificate is not valid now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::{counter, gauge};
use switchboard::Tls;
use switchboard_log::{limited, printable, with_causes};
use switchboard_tls::server::{Certificate, ServedCertificates, ServerConfigError, server_config};

use crate::config::{Config, TlsCertificate, TlsFileError, TlsFiles, TlsListener};

/// How often the files are read. Two reads in a row fit into the 10 s in which a change takes effect.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Why the server cannot use TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The files of a certificate cannot be used.
    #[error(transparent)]
    File(#[from] TlsFileError),
    /// The configuration of TLS cannot be made.
    #[error("TLS cannot be used")]
    Config(#[from] ServerConfigError),
}

/// The certificates in use.
pub(crate) struct ServerTls {
    pairs: Mutex<Vec<Pair>>,
    served: Arc<ServedCertificates>,
    tls: Tls,
}

/// A certificate in use, and the state of its files.
struct Pair {
    paths: TlsCertificate,
    files: TlsFiles,
    certificate: Certificate,
    /// The files cannot be used, as the last read has found.
    has_failed: bool,
    /// The failure has been reported.
    is_reported: bool,
}

impl ServerTls {
    /// Loads all certificates; `None` if there are none.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, TlsError> {
        if !config.tls.is_on() {
            return Ok(None);
        }
        let pairs = load(config)?;
        let served = Arc::new(ServedCertificates::default());
        let tls = Tls::new(Arc::new(server_config(served.clone(), None)?));
        let opened = ServerTls { pairs: Mutex::new(Vec::new()), served, tls };
        opened.set(pairs);
        Ok(Some(opened))
    }

    /// TLS of a listener; `None` if the listener is plain.
    pub(crate) fn of(&self, listener: TlsListener, config: &Config) -> Option<Tls> {
        config.tls.covers(listener).then(|| self.tls.clone())
    }

    /// Replaces all certificates by those of new settings, or none if one of them cannot be used.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), TlsError> {
        let loaded = load(config);
        count_reload(loaded.is_ok());
        self.set(loaded?);
        Ok(())
    }

    /// Reads the files again and again. Never ready.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let this = self.clone();
            // A file system may block for long.
            let _ = tokio::task::spawn_blocking(move || this.refresh()).await;
        }
    }

    /// Returns true if a certificate's files cannot be used, or if it is not valid now.
    pub(crate) fn is_degraded(&self) -> bool {
        self.pairs().iter().any(|pair| pair.is_reported || validity_problem(&pair.certificate).is_some())
    }

    fn pairs(&self) -> MutexGuard<'_, Vec<Pair>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, pairs: Vec<Pair>) {
        for pair in self.pairs().iter().filter(|old| pairs.iter().all(|pair| pair.paths != old.paths)) {
            // A series cannot be removed; 0 is in the past, and no alert considers it.
            expiry_gauge(&pair.paths).set(0.0);
        }
        pairs.iter().for_each(Pair::report);
        *self.pairs() = pairs;
        self.serve();
    }

    /// Serves the certificates in use.
    fn serve(&self) {
        let pairs = self.pairs();
        let certificates: Vec<Certificate> = pairs.iter().map(|pair| pair.certificate.clone()).collect();
        self.served.set(&certificates);
        let failed = pairs.iter().filter(|pair| pair.is_reported).count();
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
        self.serve();
    }
}

impl Pair {
    /// Replaces the certificate if the files have changed and can be used.
    fn refresh(&mut self, read: Result<TlsFiles, TlsFileError>) {
        if read.as_ref().is_ok_and(|files| *files == self.files) {
            (self.has_failed, self.is_reported) = (false, false);
            return;
        }
        let loaded = read.and_then(|files| Ok((self.paths.parse(&files)?, files)));
        match loaded {
            Ok((certificate, files)) => {
                (self.certificate, self.files) = (certificate, files);
                (self.has_failed, self.is_reported) = (false, false);
                count_reload(true);
                limited!(
                    INFO,
                    certificate = printable(self.paths.cert.display()),
                    "certificate replaced; open connections stay open"
                );
                self.report();
            }
            // The files may be replaced at this moment, one after the other.
            Err(_) if !self.has_failed => self.has_failed = true,
            Err(_) if self.is_reported => {}
            Err(error) => {
                self.is_reported = true;
                count_reload(false);
                limited!(
                    ERROR,
                    certificate = printable(self.paths.cert.display()),
                    error = printable(with_causes(&error)),
                    "certificate not replaced; the previous one stays in use"
                );
            }
        }
    }

    /// Shows how long the certificate is valid.
    fn report(&self) {
        let end = self.certificate.not_after().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        expiry_gauge(&self.paths).set(end.as_secs() as f64);
        if let Some(problem) = validity_problem(&self.certificate) {
            limited!(
                WARN,
                certificate = printable(self.paths.cert.display()),
                problem,
                "clients refuse the certificate"
            );
        }
    }
}

/// What the operator should know about the certificates of these settings, which can be loaded.
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
        Ok(Pair { paths: paths.clone(), files, certificate, has_failed: false, is_reported: false })
    };
    config.tls.certificates.iter().map(load).collect()
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

fn expiry_gauge(paths: &TlsCertificate) -> metrics::Gauge {
    gauge!("switchboard_tls_certificate_not_after_seconds", "certificate" => paths.cert.display().to_string())
}

fn count_reload(is_applied: bool) {
    let outcome = if is_applied { "applied" } else { "failed" };
    counter!("switchboard_tls_reloads_total", "outcome" => outcome).increment(1);
}
