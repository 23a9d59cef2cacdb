//! Settings of authentication: which tokens are accepted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_auth::{Issuers, Jwt};

use super::error::{ConfigError, InvalidSetting};
use super::issuer::Issuer;
use super::no_effect::NoEffect;
use super::secret::Secrets;

/// Settings of authentication. Without a secret, a key and a key set every token is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Secrets of HS256 tokens, each of at least 32 bytes: one string, or a list to rotate them; the first
    /// signs in `switchboard token make`. Default none.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub jwt_secret: Secrets,
    /// Public keys in PEM: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA. Default none.
    pub public_keys: Vec<String>,
    /// Address of a JSON Web Key Set, `https://…` or `http://…`. It is fetched when a token needs it,
    /// cached for 10 min, and fetched at most every 10 s. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// PEM file of certificate authorities that `auth.jwks_url` may use in addition to Mozilla's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_ca_file: Option<PathBuf>,
    /// Claims that can hold the user id; the first one that a token has is used. Default `id`, `sub`, `userId`.
    pub user_claims: Vec<String>,
    /// Required issuer (`iss`) of a token. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Required audience (`aud`) of a token. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Tolerated difference between clocks, in seconds. Default 0.
    pub leeway_s: u64,
    /// Cookie of the handshake that holds a token of emit and Koji clients, such as `session`. A page of another host than
    /// the server's may use it only if `clients.allowed_origins` has its origin; otherwise it is refused with 403.
    /// Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// Projects whose clients the tokens of the keys above log in. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    /// Further issuers, by a name of your choice. Each has a `jwt_secret`, `public_keys`, `jwks_url`,
    /// `jwks_ca_file`, `issuer`, `audience`, `user_claims` and `projects` of its own.
    pub issuers: BTreeMap<String, Issuer>,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            jwt_secret: Secrets::default(),
            public_keys: Vec::new(),
            jwks_url: None,
            jwks_ca_file: None,
            user_claims: ["id", "sub", "userId"].map(String::from).into(),
            issuer: None,
            audience: None,
            leeway_s: 0,
            cookie: None,
            projects: None,
            issuers: BTreeMap::new(),
        }
    }
}

impl Auth {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        let is_name = |name: &String| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte))
        };
        if !self.cookie.as_ref().is_none_or(is_name) {
            let invalid =
                InvalidSetting::new("auth.cookie", "expected the name of a cookie, such as session");
            return Err(invalid);
        }
        self.build().map(drop)
    }

    /// Returns true if there is a secret or a key; otherwise all tokens are refused.
    pub(crate) fn accepts_tokens(&self) -> bool {
        self.own_issuer().has_keys() || !self.issuers.is_empty()
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Vec<NoEffect> {
        let (keys, own) = (
            &["auth.user_claims", "auth.leeway_s", "auth.cookie"],
            &["auth.issuer", "auth.audience", "auth.projects"],
        );
        let no_own_keys = "auth.jwt_secret, auth.public_keys and auth.jwks_url are not set";
        let all_refused = "there is no secret and no key, so all tokens are refused";
        let has_own_keys = self.own_issuer().has_keys();
        let mut rules = Vec::new();
        if !has_own_keys && self.issuers.is_empty() {
            rules.push(NoEffect::of(keys, all_refused));
        }
        if !has_own_keys {
            rules.push(NoEffect::of(own, no_own_keys));
        }
        let named = self
            .issuers
            .iter()
            .map(|(name, issuer)| (format!("auth.issuers.{name}"), issuer.jwks_url.is_some()));
        for (section, has_set) in named.chain([("auth".into(), self.jwks_url.is_some())]) {
            if !has_set {
                rules.push(NoEffect::of(
                    &[format!("{section}.jwks_ca_file")],
                    "there is no jwks_url beside it",
                ));
            }
        }
        rules
    }

    /// The secrets by their keys.
    pub(super) fn secrets(&self) -> BTreeMap<String, &Secrets> {
        let key = |name: &String| format!("auth.issuers.{name}.jwt_secret");
        let named = self.issuers.iter().map(|(name, issuer)| (key(name), &issuer.jwt_secret));
        named.chain([("auth.jwt_secret".into(), &self.jwt_secret)]).collect()
    }

    /// Builds the verifier of tokens; `None` if no token can be accepted.
    pub fn verifier(&self) -> Result<Option<Issuers>, ConfigError> {
        Ok(self.build()?)
    }

    fn build(&self) -> Result<Option<Issuers>, InvalidSetting> {
        if self.user_claims.is_empty() {
            let invalid = InvalidSetting::new("auth.user_claims", "expected at least one claim");
            return Err(invalid.with_hint("leave it out to use id, sub and userId"));
        }
        let rules = Jwt::new().with_leeway(Duration::from_secs(self.leeway_s));
        let rules = rules.with_user_claims(&self.user_claims);
        let mut issuers: Vec<Jwt> = self.own_issuer().add_to(&rules, "auth")?.into_iter().collect();
        for (name, issuer) in &self.issuers {
            let section = format!("auth.issuers.{name}");
            let jwt = issuer.add_to(&rules, &section)?;
            issuers.push(jwt.ok_or_else(|| InvalidSetting::new(section, "expected a secret or a key"))?);
        }
        Ok((!issuers.is_empty()).then(|| Issuers::new(issuers)))
    }

    /// The issuer that has no name.
    fn own_issuer(&self) -> Issuer {
        Issuer {
            jwt_secret: self.jwt_secret.clone(),
            public_keys: self.public_keys.clone(),
            jwks_url: self.jwks_url.clone(),
            jwks_ca_file: self.jwks_ca_file.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            user_claims: None,
            projects: self.projects.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchboard::ProjectId;
    use switchboard_auth::sign;

    use super::super::{Config, with};

    #[tokio::test]
    async fn each_issuer_has_keys_rules_and_projects_of_its_own() {
        let config = with(&[
            "auth.jwt_secret=the first secret, of poker, and long enough",
            "auth.projects=[\"poker\"]",
            "auth.issuers.chess.jwt_secret=s3cret of chess, and certainly long enough",
            "auth.issuers.chess.issuer=us",
            "auth.issuers.chess.projects=[\"chess\", \"go\"]",
        ])
        .unwrap();
        let shown = format!("{config:?}{}", config.to_toml());
        assert!(!shown.contains("s3cret") && shown.contains("[auth.issuers.chess]"), "{shown}");
        let verifier = config.auth.verifier().unwrap().unwrap();
        let claims = |issuer: &str| json!({ "iss": issuer }).as_object().unwrap().clone();
        let of_chess =
            |issuer| sign("s3cret of chess, and certainly long enough", "7", None, claims(issuer)).unwrap();
        let of_poker = sign("the first secret, of poker, and long enough", "7", None, claims("any")).unwrap();
        for (project, token, refusal) in [
            ("chess", of_chess("us"), None),
            ("go", of_chess("us"), None),
            ("go", of_chess("them"), Some("issuer")),
            ("chess", of_poker.clone(), Some("signature")),
            ("poker", of_chess("us"), Some("signature")),
            ("poker", of_poker.clone(), None),
            ("other", of_poker, Some("project")),
        ] {
            let identity = verifier.identify(Some(&ProjectId::new(project).unwrap()), &token).await;
            let outcome = identity.map(|identity| identity.user.to_string()).map_err(|error| error.reason());
            assert_eq!(outcome.as_deref().err().copied(), refusal, "{project}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn an_issuer_can_name_the_user_in_a_claim_of_its_own() {
        let secret = "a secret of this test, and certainly long enough";
        let config = with(&[
            &format!("auth.issuers.chess.jwt_secret={secret}"),
            "auth.issuers.chess.user_claims=[\"player\"]",
        ])
        .unwrap();
        let verifier = config.auth.verifier().unwrap().unwrap();
        let claims = json!({ "player": "kasparov" }).as_object().unwrap().clone();
        let token = sign(secret, "the claim id", None, claims).unwrap();
        assert_eq!(verifier.identify(None, &token).await.unwrap().user, "kasparov");
    }

    #[test]
    fn an_invalid_issuer_is_reported_with_its_key() {
        for (bad, key) in [
            ("auth.issuers.chess.projects=[\"\"]", "auth.issuers.chess.projects"),
            ("auth.issuers.chess.issuer=us", "auth.issuers.chess"),
            ("auth.issuers.chess.user_claims=[]", "auth.issuers.chess.user_claims"),
            ("auth.issuers.chess.jwt_secret=", "auth.issuers.chess.jwt_secret"),
            ("auth.issuers.chess.jwks_url=ftp://x", "auth.issuers.chess.jwks_url"),
            ("auth.issuers.chess.secret=x", "auth.issuers.chess.secret"),
            ("auth.projects=[\"\"]", "auth.projects"),
        ] {
            let error = with(&[bad]).unwrap_err().to_string();
            assert!(error.starts_with(key), "{bad}: {error}");
        }
    }

    #[test]
    fn an_unusable_file_of_certificate_authorities_is_reported_with_its_key() {
        let url = "auth.jwks_url=https://login.example/keys";
        for file in ["/no/such/file", "Cargo.toml"] {
            let sets = [url.to_owned(), format!("auth.jwks_ca_file={file}")];
            let error = Config::load(None, &sets).unwrap_err().to_string();
            assert!(error.contains("auth.jwks_ca_file"), "{error}");
        }
    }
}
