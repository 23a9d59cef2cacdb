//! What webhooks and handlers over HTTP have in common: a URL that the server calls, with its secrets and limits.

use std::path::PathBuf;
use std::time::Duration;

use switchboard::{NameError, ProjectId};
use switchboard_hooks::{OutgoingClient, OutgoingOptions, SecretError, Signer, UrlError};

use super::error::InvalidSetting;
use super::file::read;
use super::secret::Secrets;

/// Most characters of a name.
const NAME_CHARS_MAX: usize = 64;

/// The settings of one URL, which are checked together.
pub(super) struct Callee<'a> {
    /// The section, such as `hooks.endpoints.chat`.
    pub(super) section: &'a str,
    /// The last part of the section.
    pub(super) name: &'a str,
    pub(super) url: &'a str,
    pub(super) secrets: &'a Secrets,
    pub(super) allow_private: bool,
    pub(super) timeout_ms: u64,
    pub(super) ca_file: Option<&'a PathBuf>,
    /// Longest body of a response.
    pub(super) response_bytes_max: usize,
}

impl Callee<'_> {
    /// The options of the HTTP client, and the secrets.
    pub(super) fn options(&self) -> Result<(OutgoingOptions, Vec<String>), InvalidSetting> {
        self.check_name()?;
        let outgoing = self.outgoing()?;
        OutgoingClient::new(self.url, outgoing.clone()).map_err(|error| self.url_error(error))?;
        let secrets: Vec<String> = self.secrets.iter().map(|secret| secret.reveal().to_owned()).collect();
        Signer::new(secrets.iter().map(String::as_str)).map_err(|error| self.secrets_error(error))?;
        Ok((outgoing, secrets))
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.section)
    }

    /// The name is also a label of metrics.
    fn check_name(&self) -> Result<(), InvalidSetting> {
        let is_allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
        let name = self.name;
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_allowed) {
            let problem = format!("expected a name of 1 to {NAME_CHARS_MAX} letters, digits, `-` and `_`");
            return Err(InvalidSetting::new(self.section, problem));
        }
        Ok(())
    }

    fn outgoing(&self) -> Result<OutgoingOptions, InvalidSetting> {
        if self.timeout_ms == 0 {
            return Err(InvalidSetting::new(self.key("timeout_ms"), "expected at least 1"));
        }
        let ca_key = self.key("ca_file");
        let root_certificates = self.ca_file.iter().map(|path| read(&ca_key, path));
        Ok(OutgoingOptions {
            allow_private: self.allow_private,
            timeout: Duration::from_millis(self.timeout_ms),
            response_bytes_max: self.response_bytes_max,
            root_certificates: root_certificates.collect::<Result<_, _>>()?,
        })
    }

    /// The error of secrets, with a way to make a good one.
    fn secrets_error(&self, error: SecretError) -> InvalidSetting {
        let problem = format!("expected secrets of signatures: {error}");
        let hint = "`echo whsec_$(openssl rand -base64 32)` prints a good one";
        InvalidSetting::new(self.key("secrets"), problem).with_hint(hint)
    }

    /// The error of a URL, with the setting that mends it.
    fn url_error(&self, error: UrlError) -> InvalidSetting {
        match error {
            UrlError::RootCertificate(error) => {
                InvalidSetting::new(self.key("ca_file"), format!("expected certificates in PEM: {error}"))
            }
            UrlError::Private(error) => {
                let hint =
                    format!("set {} = true if the backend runs on this network", self.key("allow_private"));
                let problem = format!("expected a public address: {error}");
                InvalidSetting::new(self.key("url"), problem).with_hint(hint)
            }
            error => {
                InvalidSetting::new(self.key("url"), format!("expected an https or http address: {error}"))
            }
        }
    }
}

/// Reads the ids of the projects in the setting `projects` of a section.
pub(super) fn project_ids(section: &str, ids: &[String]) -> Result<Vec<ProjectId>, InvalidSetting> {
    let ids: Result<_, NameError> = ids.iter().map(|id| ProjectId::new(id)).collect();
    ids.map_err(|error| {
        InvalidSetting::new(format!("{section}.projects"), format!("expected project ids: {error}"))
    })
}
