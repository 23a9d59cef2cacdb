//! Settings of TLS: certificates, and the listeners that use them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use switchboard_log::with_causes;
use switchboard_tls::server::{Certificate, CertificateError};

use super::acme::TlsAcme;
use super::error::InvalidSetting;
use super::no_effect::NoEffect;

/// Most certificates: each has a metric of its own.
const CERTIFICATES_MAX: usize = 100;

/// Settings of TLS. It is on if there are certificates, or domains in `tls.acme`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificates, at most 100, each as `{ cert = "fullchain.pem", key = "privkey.pem" }`: the paths of a PEM file with the
    /// certificate and its chain, and of one with its private key. A client gets the certificate for the host that it names
    /// (SNI), and otherwise the first one. Changed files are used within 10 s and after a SIGHUP; open connections stay open.
    /// Default: none.
    pub certificates: Vec<TlsCertificate>,
    /// The listeners that use TLS, of `clients` (`listen`), `mesa` (`mesa.listen`), `api` (`api.listen`) and `internal`
    /// (`internal.listen`). Default `clients` and `mesa`.
    pub listeners: Vec<TlsListener>,
    /// Address where plain HTTP requests get a redirect with 308 to the same host and path at `https://`, on the port of
    /// `listen`; port 0 takes a free one. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_listen: Option<SocketAddr>,
    /// A certificate that the server obtains from an authority.
    pub acme: TlsAcme,
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsCertificate {
    /// PEM file with the certificate and its chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// A listener that can use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsListener {
    /// `listen`.
    Clients,
    /// `mesa.listen`.
    Mesa,
    /// `api.listen`.
    Api,
    /// `internal.listen`.
    Internal,
}

/// The contents of the files of a certificate, to notice that they have changed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// Why the files of a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// A file cannot be read.
    #[error("the file {0} cannot be read")]
    Read(String, #[source] io::Error),
    /// The files can be read, and are not a certificate with its key.
    #[error("{0} and {1} cannot be used")]
    Certificate(String, String, #[source] CertificateError),
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificates: Vec::new(),
            listeners: vec![TlsListener::Clients, TlsListener::Mesa],
            redirect_listen: None,
            acme: TlsAcme::default(),
        }
    }
}

impl Tls {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        if self.certificates.len() > CERTIFICATES_MAX {
            let problem = format!("expected at most {CERTIFICATES_MAX} certificates");
            return Err(InvalidSetting::new("tls.certificates", problem));
        }
        self.acme.check()
    }

    /// Returns true if there are certificates, or will be.
    pub(crate) fn is_on(&self) -> bool {
        !self.certificates.is_empty() || self.acme.is_on()
    }

    /// Returns true if a listener uses TLS.
    pub fn covers(&self, listener: TlsListener) -> bool {
        self.is_on() && self.listeners.contains(&listener)
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        if self.is_on() {
            return self.acme.no_effect();
        }
        let reason = "tls.certificates and tls.acme.domains are not set, so connections are not encrypted";
        Some(NoEffect::of(&["tls"], reason).except(&["tls.certificates", "tls.acme.domains"]))
    }

    /// Checks the files of all certificates.
    pub(super) fn check_files(&self) -> Result<(), InvalidSetting> {
        self.certificates.iter().try_for_each(|certificate| {
            let loaded = certificate.load().map(drop);
            loaded.map_err(|error| {
                let invalid = InvalidSetting::new("tls.certificates", with_causes(&error));
                invalid.with_hint(
                    "each certificate needs a file with its chain and one with its key, both in PEM",
                )
            })
        })?;
        self.acme.check_files()
    }
}

impl TlsCertificate {
    /// Reads the files.
    pub(crate) fn read(&self) -> Result<TlsFiles, TlsFileError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| TlsFileError::Read(path.display().to_string(), error))
        };
        Ok(TlsFiles { cert: read(&self.cert)?, key: read(&self.key)? })
    }

    /// The certificate in files that were read.
    pub(crate) fn parse(&self, files: &TlsFiles) -> Result<Certificate, TlsFileError> {
        let name = |path: &Path| path.display().to_string();
        Certificate::from_pem(&files.cert, &files.key)
            .map_err(|error| TlsFileError::Certificate(name(&self.cert), name(&self.key), error))
    }

    /// Reads the files and the certificate in them.
    pub(crate) fn load(&self) -> Result<(TlsFiles, Certificate), TlsFileError> {
        let files = self.read()?;
        let certificate = self.parse(&files)?;
        Ok((files, certificate))
    }
}

impl fmt::Display for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsListener::Clients => "clients",
            TlsListener::Mesa => "mesa",
            TlsListener::Api => "api",
            TlsListener::Internal => "internal",
        })
    }
}

/// Does not show the key.
impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles")
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::{Scratch, TestCertificate};

    use super::super::{Config, Sources, with};
    use super::*;

    #[test]
    fn certificates_are_read_from_a_file_and_from_a_flag() {
        let flag = with(&["tls.certificates=[{cert = \"a.pem\", key = \"b.pem\"}]"]).unwrap();
        let scratch = Scratch::new();
        let path = scratch.file("switchboard.toml");
        std::fs::write(&path, "[[tls.certificates]]\ncert = \"a.pem\"\nkey = \"b.pem\"\n").unwrap();
        let file = Config::load(Some(path.as_ref()), &[]).unwrap();
        assert_eq!(flag.tls, file.tls);
        assert_eq!(toml::from_str::<Config>(&flag.to_toml()).unwrap(), flag);
        for (listener, is_covered) in [
            (TlsListener::Clients, true),
            (TlsListener::Mesa, true),
            (TlsListener::Api, false),
            (TlsListener::Internal, false),
        ] {
            assert_eq!(file.tls.covers(listener), is_covered, "{listener}");
            assert!(!Config::default().tls.covers(listener));
        }
        let listeners = with(&["tls.listeners=[\"api\", \"internal\"]"]).unwrap().tls.listeners;
        assert_eq!(listeners, [TlsListener::Api, TlsListener::Internal]);
    }

    #[test]
    fn invalid_settings_are_reported_with_their_key() {
        for (bad, words) in [
            ("tls.certificates=[{cert = \"a.pem\"}]", "tls.certificates"),
            ("tls.certificates=a.pem", "tls.certificates"),
            ("tls.listeners=[\"clients\", \"health\"]", "tls.listeners"),
            ("tls.redirect_listen=80", "tls.redirect_listen"),
            ("tls.certificate=a.pem", "did you mean `certificates`?"),
        ] {
            let error = with(&[bad]).unwrap_err().to_string();
            assert!(error.contains(words), "{bad}: {error}");
        }
        let pair = "{cert = \"a.pem\", key = \"b.pem\"},";
        let many = format!("tls.certificates=[{}]", pair.repeat(101));
        assert!(with(&[&many]).unwrap_err().to_string().contains("expected at most 100 certificates"));
    }

    #[test]
    fn files_that_cannot_be_used_are_reported_with_key_and_file() {
        let scratch = Scratch::new();
        let [cert, key, other, text] =
            ["cert.pem", "key.pem", "other.pem", "text"].map(|name| scratch.file(name));
        TestCertificate::new(&["a.example"]).write(&cert, &key);
        TestCertificate::new(&["a.example"]).write(&scratch.file("unused"), &other);
        std::fs::write(&text, "no certificate").unwrap();
        let checked = |cert: &str, key: &str| {
            let set = format!("tls.certificates=[{{cert = \"{cert}\", key = \"{key}\"}}]");
            Config::load_from(&Sources::new(None, &[set])).unwrap().check_files()
        };
        assert!(checked(&cert, &key).is_ok());
        for (bad_cert, bad_key, words) in [
            (&*cert, "/no/such/key.pem", "the file /no/such/key.pem cannot be read: No such file"),
            ("/no/such/cert.pem", &*key, "the file /no/such/cert.pem cannot be read"),
            (&cert, &other, "other.pem cannot be used: the private key does not belong to the certificate"),
            (&text, &key, "cannot be used: the file of the certificate contains none"),
            (&cert, &text, "cannot be used: the file of the key contains no private key"),
        ] {
            let error = checked(bad_cert, bad_key).unwrap_err().to_string();
            assert!(error.starts_with("tls.certificates") && error.contains(words), "{words}: {error}");
        }
    }
}
