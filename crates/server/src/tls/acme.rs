//! Certificates from an authority with the ACME protocol (RFC 8555), for one node.
//!
//! The authority connects to this server to see that the domains lead here (TLS-ALPN-01, RFC 8737), so nothing but the
//! listener for clients is needed. The account and the certificate are kept in a folder and survive a restart.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use switchboard_tls::RootCertificateError;
use switchboard_tls::server::{Certificate, CertificateError, ServedCertificates};

use super::acme_folder::{AcmeFolder, FolderError};
use crate::config::{InvalidSetting, TlsAcme};

/// Longest time of one request to the authority.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time of one order, from the account to the certificate.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);

/// The pause after the first failure; each further one doubles it. Let's Encrypt allows five failures per domain and hour.
const RETRY_FIRST: Duration = Duration::from_secs(120);

/// The longest pause after failures.
const RETRY_MAX: Duration = Duration::from_secs(6 * 3600);

/// A certificate is renewed when one in this many parts of its validity is left: a third.
const RENEWED_PART: u32 = 3;

/// Obtains and renews a certificate.
pub(super) struct Acme {
    settings: TlsAcme,
    folder: AcmeFolder,
    http: reqwest::Client,
}

/// Why a certificate could not be obtained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    /// The authority refused a request, or did not answer.
    #[error("the authority at {0} did not issue a certificate")]
    Protocol(String, #[source] instant_acme::Error),
    /// The authority did not reach this server at a domain.
    #[error("the authority cannot verify {0}")]
    Unverified(String, #[source] Box<instant_acme::Problem>),
    /// The order ended without a certificate.
    #[error("the order has the status {0:?}")]
    Order(OrderStatus),
    /// The authority verifies domains by other means only.
    #[error("the authority does not offer the challenge tls-alpn-01 for {0}")]
    NoChallenge(String),
    /// The certificate for the challenge cannot be made.
    #[error("the certificate for the challenge cannot be made")]
    Challenge(#[from] rcgen::Error),
    /// The authority issued something else than a certificate, or its challenge cannot be answered with one.
    #[error("the certificate cannot be used")]
    Certificate(#[from] CertificateError),
    /// The folder cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It took too long.
    #[error("there was no certificate within {} s", ORDER_TIMEOUT.as_secs())]
    Timeout,
    /// The client for HTTP cannot be made.
    #[error("requests to the authority cannot be made")]
    Http(#[from] reqwest::Error),
    /// The roots of the authority cannot be used.
    #[error("the roots of tls.acme.directory_ca_file cannot be used")]
    Roots(#[from] RootCertificateError),
    /// The file of the roots cannot be read any more.
    #[error("{0}")]
    Setting(Box<InvalidSetting>),
}

impl Acme {
    pub(super) fn new(settings: &TlsAcme) -> Result<Self, AcmeError> {
        let roots: Vec<Vec<u8>> =
            settings.directory_roots().map_err(|error| AcmeError::Setting(error.into()))?;
        let tls = switchboard_tls::client_config(&roots)?;
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).tls_backend_preconfigured(tls).build()?;
        let folder = AcmeFolder::open(settings)?;
        Ok(Acme { settings: settings.clone(), folder, http })
    }

    /// The stored certificate, if it is for the domains of the settings.
    pub(super) fn stored(&self) -> Option<Certificate> {
        let stored = self.folder.certificate()?;
        Certificate::from_pem(&stored, &stored).ok()
    }

    /// Obtains certificates whenever one is due, and passes each outcome to `done`. `served` answers the authority. Never
    /// ready.
    pub(super) async fn run(
        &self,
        served: &ServedCertificates,
        mut current: Option<Certificate>,
        mut done: impl FnMut(Result<&Certificate, &AcmeError>),
    ) {
        let mut retry = RETRY_FIRST;
        loop {
            tokio::time::sleep(current.as_ref().map_or(Duration::ZERO, until_renewal)).await;
            let obtained = tokio::time::timeout(ORDER_TIMEOUT, self.obtain(served)).await;
            served.clear_challenges();
            match obtained.unwrap_or(Err(AcmeError::Timeout)) {
                Ok(certificate) => {
                    done(Ok(&certificate));
                    (current, retry) = (Some(certificate), RETRY_FIRST);
                }
                Err(error) => {
                    done(Err(&error));
                    tokio::time::sleep(retry).await;
                    retry = (2 * retry).min(RETRY_MAX);
                }
            }
        }
    }

    async fn obtain(&self, served: &ServedCertificates) -> Result<Certificate, AcmeError> {
        let account = self.account().await?;
        let domains: Vec<Identifier> = self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let order = account.new_order(&NewOrder::new(&domains)).await;
        let mut order = order.map_err(|error| self.refused(error))?;
        self.authorize(&mut order, served).await?;
        let retries = RetryPolicy::new().timeout(ORDER_TIMEOUT);
        let ended = match order.poll_ready(&retries).await {
            Ok(OrderStatus::Ready) => None,
            Ok(status) => Some(AcmeError::Order(status)),
            Err(error) => Some(self.refused(error)),
        };
        if let Some(error) = ended {
            return Err(self.unverified(&mut order).await.unwrap_or(error));
        }
        let key = order.finalize().await.map_err(|error| self.refused(error))?;
        let chain = order.poll_certificate(&retries).await.map_err(|error| self.refused(error))?;
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes())?;
        self.folder.store_certificate(&(key + &chain))?;
        Ok(certificate)
    }

    /// The stored account, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let builder = || Account::builder_with_http(Box::new(Http(self.http.clone())));
        if let Some(credentials) = self.folder.account() {
            let account = builder().from_credentials(credentials).await;
            return account.map_err(|error| self.refused(error));
        }
        let contact: Vec<&str> = self.settings.contact.as_deref().into_iter().collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let created = builder().create(&new, self.settings.directory_url().to_owned(), None).await;
        let (account, credentials) = created.map_err(|error| self.refused(error))?;
        self.folder.store_account(&credentials)?;
        Ok(account)
    }

    /// Answers the challenges of all domains.
    async fn authorize(&self, order: &mut Order, served: &ServedCertificates) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.refused(error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let domain = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(AcmeError::NoChallenge(domain));
            };
            let digest = challenge.key_authorization().digest();
            answer_challenge(&domain, digest.as_ref(), served)?;
            challenge.set_ready().await.map_err(|error| self.refused(error))?;
        }
        Ok(())
    }

    /// The first domain that could not be verified, and the authority's reason.
    async fn unverified(&self, order: &mut Order) -> Option<AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            authorization.refresh().await.ok()?;
            let domain = authorization.identifier().to_string();
            let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.clone());
            if let Some(problem) = problem {
                return Some(AcmeError::Unverified(domain, Box::new(problem)));
            }
        }
        None
    }

    fn refused(&self, error: instant_acme::Error) -> AcmeError {
        AcmeError::Protocol(self.settings.directory_url().to_owned(), error)
    }
}

/// The time until a certificate is renewed.
fn until_renewal(certificate: &Certificate) -> Duration {
    let lifetime = certificate.not_after().duration_since(certificate.not_before()).unwrap_or_default();
    let due = certificate.not_after() - lifetime / RENEWED_PART;
    due.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Serves the certificate that proves to the authority that the domain leads to this server.
fn answer_challenge(domain: &str, digest: &[u8], served: &ServedCertificates) -> Result<(), AcmeError> {
    let mut params = CertificateParams::new(vec![domain.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(served.add_challenge(domain, certificate.der(), &key.serialize_der())?)
}

/// Sends requests with the roots of the settings.
struct Http(reqwest::Client);

impl HttpClient for Http {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        let other = |error: reqwest::Error| instant_acme::Error::Other(Box::new(error));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = http::Request::from_parts(parts, body.to_bytes());
            let request = reqwest::Request::try_from(request).map_err(other)?;
            let response = client.execute(request).await.map_err(other)?;
            Ok(BytesResponse::from(http::Response::from(response)))
        })
    }
}
