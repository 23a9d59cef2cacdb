//! The claims of a token: times, issuer, audience, user (RFC 7519, 4.1).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use switchboard::access::{Rights, TokenId};
use switchboard::{Identity, Payload, UserId};

use crate::error::TokenError;

/// The end of the year 9999 in seconds since 1970. A later time is refused: a signer that counts milliseconds
/// would otherwise make tokens that expire in fifty thousand years.
pub(crate) const TIME_MAX_S: u64 = 253_402_300_799;

/// The claims that a token must have.
#[derive(Clone)]
pub(crate) struct Rules {
    /// Claims that may hold the user id, in order of preference.
    pub(crate) user_claims: Vec<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) leeway: Duration,
}

impl Rules {
    /// Checks the claims of a token at a time, and returns its user.
    pub(crate) fn check(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<Identity, TokenError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let issued = time(claims, "iat")?;
        if time(claims, "nbf")?.is_some_and(|start| now.saturating_add(self.leeway) < start) {
            return Err(TokenError::NotYetValid);
        }
        let end = time(claims, "exp")?.map(|end| end.saturating_add(self.leeway));
        if end.is_some_and(|end| end <= now) {
            return Err(TokenError::Expired);
        }
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let (user, profile) = self.user(claims)?;
        // Only with an endless leeway the time is beyond the range of the clock.
        let expires = end.and_then(|end| UNIX_EPOCH.checked_add(end));
        let rights = rights(claims)?.map(Arc::new);
        let issued = issued.and_then(|issued| UNIX_EPOCH.checked_add(issued));
        Ok(Identity { user, expires, profile, rights, token_id: token_id(claims)?, issued })
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let issuer = match claims.get("iss") {
            None => None,
            Some(Value::String(issuer)) => Some(issuer),
            Some(_) => return Err(TokenError::Claim("iss")),
        };
        match &self.issuer {
            Some(required) if issuer != Some(required) => Err(TokenError::Issuer),
            _ => Ok(()),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let audiences = match claims.get("aud") {
            None => &[],
            Some(Value::Array(audiences)) => &audiences[..],
            Some(audience) => std::slice::from_ref(audience),
        };
        if !audiences.iter().all(Value::is_string) {
            return Err(TokenError::Claim("aud"));
        }
        match &self.audience {
            Some(required) if !audiences.iter().any(|audience| audience == required) => {
                Err(TokenError::Audience)
            }
            _ => Ok(()),
        }
    }

    fn user(&self, claims: &Map<String, Value>) -> Result<(UserId, Option<Payload>), TokenError> {
        let user_claim = |name| claims.get(name).and_then(|claim| Some((user_id(claim)?, claim)));
        let (user, claim) = self.user_claims.iter().find_map(user_claim).ok_or(TokenError::NoUser)?;
        Ok((UserId::new(&user)?, Payload::of(&json!({ "id": claim })).ok()))
    }
}

/// The rights in the claim `can`, which maps patterns to letters. `None` without this claim.
fn rights(claims: &Map<String, Value>) -> Result<Option<Rights>, TokenError> {
    let Some(can) = claims.get("can") else { return Ok(None) };
    let patterns = can.as_object().ok_or(TokenError::Claim("can"))?.iter();
    let pairs: Option<Vec<(&str, &str)>> =
        patterns.map(|(pattern, letters)| Some((pattern.as_str(), letters.as_str()?))).collect();
    Ok(Some(Rights::new(pairs.ok_or(TokenError::Claim("can"))?)?))
}

/// The claim `jti`. An empty or very long one cannot be revoked and counts as none.
fn token_id(claims: &Map<String, Value>) -> Result<Option<TokenId>, TokenError> {
    match claims.get("jti") {
        None => Ok(None),
        Some(Value::String(id)) => Ok(TokenId::new(id).ok()),
        Some(_) => Err(TokenError::Claim("jti")),
    }
}

/// A time in seconds since 1970, which may have a fraction.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Duration>, TokenError> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let time = match claim.as_u64() {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => claim.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    };
    let is_in_range = |time: &Duration| *time <= Duration::from_secs(TIME_MAX_S);
    time.filter(is_in_range).map(Some).ok_or(TokenError::Claim(name))
}

/// A non-empty text, or a number in decimal notation.
fn user_id(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            // As in JavaScript, where 7 and 7.0 are the same number, as are 0 and -0.
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 9e15 => format!("{}", whole as i64),
            _ => number.to_string(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use switchboard::access::{Resource, Right};

    use super::*;

    fn check(claims: Value, at_ms: u64, leeway_ms: u64) -> Result<Option<SystemTime>, TokenError> {
        let mut claims = claims;
        claims["id"] = json!("7");
        let rules = Rules {
            user_claims: vec!["id".into()],
            issuer: None,
            audience: None,
            leeway: Duration::from_millis(leeway_ms),
        };
        let now = UNIX_EPOCH + Duration::from_millis(at_ms);
        rules.check(claims.as_object().unwrap(), now).map(|identity| identity.expires)
    }

    #[test]
    fn a_token_is_valid_from_nbf_to_just_before_exp_to_the_millisecond() {
        let times = || json!({ "nbf": 1000.5, "exp": 2000.25 });
        assert!(matches!(check(times(), 1_000_499, 0), Err(TokenError::NotYetValid)));
        let end = UNIX_EPOCH + Duration::from_millis(2_000_250);
        assert_eq!(check(times(), 1_000_500, 0).unwrap(), Some(end));
        assert!(check(times(), 2_000_249, 0).is_ok());
        assert!(matches!(check(times(), 2_000_250, 0), Err(TokenError::Expired)));
    }

    #[test]
    fn the_leeway_extends_both_ends_by_exactly_its_length() {
        let times = || json!({ "nbf": 1000, "exp": 2000 });
        assert!(matches!(check(times(), 999_499, 500), Err(TokenError::NotYetValid)));
        assert!(check(times(), 999_500, 500).is_ok());
        assert!(check(times(), 2_000_499, 500).is_ok());
        assert!(matches!(check(times(), 2_000_500, 500), Err(TokenError::Expired)));
    }

    #[test]
    fn times_that_are_no_time_or_out_of_range_are_refused() {
        for name in ["exp", "nbf", "iat"] {
            for invalid in [
                json!("1700000000"),
                json!(-1),
                json!(-0.5),
                json!(null),
                json!(true),
                json!({}),
                json!([1]),
                json!(TIME_MAX_S + 1),
                json!(1_700_000_000_000_u64),
                json!(u64::MAX),
                json!(1e19),
                json!(1e300),
            ] {
                let outcome = check(json!({ name: invalid }), 0, 0);
                assert!(
                    matches!(outcome, Err(TokenError::Claim(claim)) if claim == name),
                    "{name}: {invalid}"
                );
            }
            assert!(check(json!({ name: TIME_MAX_S }), 253_402_300_798_000, 2000).is_ok());
        }
    }

    #[test]
    fn the_claim_can_gives_rights_and_an_invalid_one_refuses_the_token() {
        let rights = |can: Value| {
            let claims = json!({ "can": can });
            super::rights(claims.as_object().unwrap())
        };
        let some = rights(json!({ "#chat-*": "js", "user:*": "s" })).unwrap().unwrap();
        assert!(some.allow(Right::Join, Resource::Room("chat-1")));
        assert!(!some.allow(Right::Join, Resource::Room("news")));
        assert!(rights(json!({})).unwrap().is_some(), "no rights of its own is a claim, too");
        assert!(super::rights(&Map::new()).unwrap().is_none());
        for invalid in [json!(null), json!("*"), json!(["#a"]), json!({ "#a": ["j"] }), json!({ "#a": 1 })] {
            assert!(matches!(rights(invalid.clone()), Err(TokenError::Claim("can"))), "{invalid}");
        }
        for invalid in [json!({ "a": "j" }), json!({ "#a": "x" }), json!({ "#a*b": "j" })] {
            let error = rights(invalid.clone()).unwrap_err();
            assert_eq!(error.reason(), "claim", "{invalid}");
        }
    }

    #[test]
    fn the_id_and_the_time_of_issue_are_read_and_an_id_that_is_no_text_refuses_the_token() {
        let id = |jti: Value| token_id(json!({ "jti": jti }).as_object().unwrap());
        assert_eq!(id(json!("a")).unwrap().as_deref(), Some("a"));
        assert_eq!(id(json!("")).unwrap(), None);
        assert_eq!(id(json!("x".repeat(257))).unwrap(), None);
        assert_eq!(token_id(&Map::new()).unwrap(), None);
        for invalid in [json!(7), json!(null), json!(["a"])] {
            assert!(matches!(id(invalid.clone()), Err(TokenError::Claim("jti"))), "{invalid}");
        }
    }

    #[test]
    fn a_number_names_the_same_user_as_in_javascript() {
        for (claim, user) in [
            (json!(7.0), Some("7")),
            (json!(-0.0), Some("0")),
            (json!(-7), Some("-7")),
            (json!(7.5), Some("7.5")),
            (json!(9_007_199_254_740_993_u64), Some("9007199254740993")),
            (json!(""), None),
            (json!(["7"]), None),
        ] {
            assert_eq!(user_id(&claim).as_deref(), user, "{claim}");
        }
    }
}
