//! Settings of certificates from an authority (ACME).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::InvalidSetting;
use super::file::read;
use super::hosts::check_hosts;
use super::no_effect::NoEffect;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Most domains: Let's Encrypt allows as many in a certificate.
const DOMAINS_MAX: usize = 100;

/// Settings of a certificate from an authority. It is on if there are domains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsAcme {
    /// Domains of a certificate that the server obtains and renews by itself, such as `chat.example`; for one node, which
    /// the authority reaches at port 443 of each domain. With domains you accept the authority's terms of service. Default:
    /// none.
    pub domains: Vec<String>,
    /// Address of the operator for the authority, such as `mailto:ops@chat.example`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The authority: `letsencrypt`, `letsencrypt-staging` for tests, or the `https://` address of an ACME directory.
    /// Default `letsencrypt`.
    pub directory: String,
    /// PEM file of certificate authorities that `tls.acme.directory` may use in addition to Mozilla's. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory_ca_file: Option<PathBuf>,
    /// Folder for the account and the certificate, with their keys; created if it is missing. Default `acme`.
    pub folder: PathBuf,
}

impl Default for TlsAcme {
    fn default() -> Self {
        TlsAcme {
            domains: Vec::new(),
            contact: None,
            directory: "letsencrypt".into(),
            directory_ca_file: None,
            folder: "acme".into(),
        }
    }
}

impl TlsAcme {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        check_hosts("tls.acme.domains", &self.domains)?;
        if self.domains.len() > DOMAINS_MAX {
            let problem = format!("expected at most {DOMAINS_MAX} domains");
            return Err(InvalidSetting::new("tls.acme.domains", problem));
        }
        if self.domains.iter().any(|domain| domain.parse::<std::net::IpAddr>().is_ok()) {
            return Err(InvalidSetting::new(
                "tls.acme.domains",
                "expected names of domains, not IP addresses",
            ));
        }
        if self.contact.as_ref().is_some_and(|contact| !contact.starts_with("mailto:")) {
            let invalid =
                InvalidSetting::new("tls.acme.contact", "expected an address that begins with mailto:");
            return Err(invalid.with_hint("such as mailto:ops@chat.example"));
        }
        if !self.directory_url().starts_with("https://") {
            let problem = "expected letsencrypt, letsencrypt-staging or an address that begins with https://";
            return Err(InvalidSetting::new("tls.acme.directory", problem));
        }
        Ok(())
    }

    /// Checks that the folder exists or can be created, and the roots of the directory.
    pub(super) fn check_files(&self) -> Result<(), InvalidSetting> {
        if !self.is_on() {
            return Ok(());
        }
        self.directory_roots()?;
        let parent = self.folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let problem = match parent {
            _ if self.folder.is_dir() => return Ok(()),
            _ if self.folder.exists() => "expected a folder, found a file".into(),
            Some(parent) if !parent.is_dir() => format!("there is no folder {}", parent.display()),
            _ => return Ok(()),
        };
        let invalid = InvalidSetting::new("tls.acme.folder", problem);
        Err(invalid.with_hint("create the folder, or set tls.acme.folder to another one"))
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        let off = NoEffect::of(&["tls.acme"], "tls.acme.domains is not set");
        (!self.is_on()).then_some(off.except(&["tls.acme.domains"]))
    }

    pub(crate) fn directory_url(&self) -> &str {
        match &*self.directory {
            "letsencrypt" => LETS_ENCRYPT,
            "letsencrypt-staging" => LETS_ENCRYPT_STAGING,
            url => url,
        }
    }

    /// The certificate authorities of the directory, beside Mozilla's.
    pub(crate) fn directory_roots(&self) -> Result<Vec<Vec<u8>>, InvalidSetting> {
        const KEY: &str = "tls.acme.directory_ca_file";
        let roots: Vec<Vec<u8>> =
            self.directory_ca_file.iter().map(|path| read(KEY, path)).collect::<Result<_, _>>()?;
        switchboard_tls::client_config(&roots)
            .map_err(|error| InvalidSetting::new(KEY, format!("expected certificates in PEM: {error}")))?;
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;

    #[test]
    fn invalid_settings_are_reported_with_their_key() {
        for (bad, words) in [
            ("tls.acme.domains=https://chat.example", "tls.acme.domains is"),
            ("tls.acme.domains=127.0.0.1", "not IP addresses"),
            ("tls.acme.contact=ops@chat.example", "begins with mailto:"),
            ("tls.acme.directory=http://ca.example", "begins with https://"),
            ("tls.acme.directory=production", "expected letsencrypt, letsencrypt-staging"),
        ] {
            let error = with(&[bad]).unwrap_err().to_string();
            assert!(error.contains(words), "{bad}: {error}");
        }
        let config =
            with(&["tls.acme.domains=chat.example", "tls.acme.directory=letsencrypt-staging"]).unwrap();
        assert!(config.tls.is_on() && config.tls.acme.directory_url().contains("staging"));
    }
}
