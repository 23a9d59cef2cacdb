//! `switchboard token`: makes and verifies tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use serde_json::{Map, Value, json};
use switchboard_log::printable_error;
use switchboard_server::Config;

use crate::args::Token;
use crate::cmd::data::json_or_text;
use crate::output::{Failure, print_json};
use crate::streams::{print_error_line, print_line};

/// Prints a new token, or the user and the expiry of a token.
pub(crate) async fn run(token: Token) -> Result<(), Failure> {
    match token {
        Token::Make { user, expires_in, claims, settings } => {
            let config = settings.load()?;
            let claims = with_required(&config, read_claims(&claims)?);
            let secret = config.auth.jwt_secret.iter().next().ok_or_else(no_keys)?;
            let token = switchboard_auth::sign(secret.reveal(), &user, expires_in, claims);
            let token = token.map_err(|error| Failure::Run(error.into()))?;
            warn_if_refused(&config, &token).await?;
            print_line(token);
        }
        Token::Check { token, settings } => check(&settings.load()?, &token).await?,
    }
    Ok(())
}

/// Adds the issuer and the audience that the settings require, unless the claims have them.
fn with_required(config: &Config, mut claims: Map<String, Value>) -> Map<String, Value> {
    for (name, required) in [("iss", &config.auth.issuer), ("aud", &config.auth.audience)] {
        if let Some(required) = required {
            claims.entry(name).or_insert_with(|| json!(required));
        }
    }
    claims
}

/// Warns of a token that a server with the same settings would refuse. It may be wanted: one that is valid later, or a test.
async fn warn_if_refused(config: &Config, token: &str) -> Result<(), Failure> {
    let verifier = config.auth.verifier().map_err(|error| Failure::Usage(error.into()))?;
    if let Err(error) = verifier.ok_or_else(no_keys)?.identify(None, token).await {
        let error = printable_error(&error);
        print_error_line(format_args!("warning: a server with these settings refuses this token: {error}"));
    }
    Ok(())
}

async fn check(config: &Config, token: &str) -> Result<(), Failure> {
    let verifier = config.auth.verifier().map_err(|error| Failure::Usage(error.into()))?;
    let identity = verifier.ok_or_else(no_keys)?.identify(None, token).await;
    let identity = identity.map_err(|error| Failure::Run(error.into()))?;
    let seconds = |end: SystemTime| end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    print_json(&json!({ "user": identity.user, "expires": identity.expires.map(seconds) }).to_string());
    Ok(())
}

fn no_keys() -> Failure {
    Failure::Usage(anyhow!(
        "auth.jwt_secret is not set; it is needed for tokens\n\nhint: set it by SWITCHBOARD_AUTH__JWT_SECRET, or in the file of --config"
    ))
}

fn read_claims(claims: &[String]) -> Result<Map<String, Value>, Failure> {
    let read = |claim: &String| {
        let (name, value) =
            claim.split_once('=').ok_or_else(|| anyhow!("--claim {claim} is not of the form name=value"))?;
        let value = serde_json::from_str(json_or_text(value)?.get());
        Ok((name.to_owned(), value.with_context(|| format!("--claim {claim} has no valid value"))?))
    };
    claims.iter().map(|claim| read(claim).map_err(Failure::Usage)).collect()
}
