//! The token in the headers of a handshake: `authorization: Bearer …`, or a cookie.

use http::{HeaderMap, HeaderValue, header};

use crate::net::options::AcceptOptions;
use crate::net::origin::Origin;

/// The cookie of a handshake must not be used, because a page of another site has opened the connection. Browsers
/// send cookies along with every connection to their host, whichever page opens it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CrossSite;

/// The token in the headers. A cookie counts only if the page is of the same host or of an allowed origin, or if there
/// is no page.
pub(crate) fn token_in(headers: &HeaderMap, options: &AcceptOptions) -> Result<Option<String>, CrossSite> {
    if let Some(token) = bearer(headers) {
        return Ok(Some(token.to_owned()));
    }
    let cookie = options.token_cookie.as_ref().and_then(|name| cookie(headers, name));
    match cookie {
        Some(_) if !is_same_site(headers, options) => Err(CrossSite),
        cookie => Ok(cookie.map(str::to_owned)),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The first cookie with a name, unless it is empty.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!value.is_empty()).then_some(value)
}

fn is_same_site(headers: &HeaderMap, options: &AcceptOptions) -> bool {
    let Some(sent) = headers.get(header::ORIGIN) else { return true };
    let is_listed = |allowed: &Vec<Origin>| allowed.iter().any(|origin| origin.is_sent_as(sent));
    options.allowed_origins.as_ref().is_some_and(is_listed)
        || headers.get(header::HOST).is_some_and(|host| is_host_of(sent, host))
}

/// Returns true if the page's host and port are those that the request is for.
fn is_host_of(origin: &HeaderValue, host: &HeaderValue) -> bool {
    let (Ok(sent), Ok(host)) = (origin.to_str(), host.to_str()) else { return false };
    let Some((scheme, _)) = sent.split_once("://") else { return false };
    let (page, server) = (sent.parse::<Origin>(), format!("{scheme}://{host}").parse::<Origin>());
    page.is_ok_and(|page| server.is_ok_and(|server| page == server))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn options(allowed: Option<&[&str]>) -> AcceptOptions {
        let allowed_origins = allowed.map(|list| list.iter().map(|origin| origin.parse().unwrap()).collect());
        AcceptOptions { allowed_origins, token_cookie: Some("session".into()), ..AcceptOptions::default() }
    }

    #[test]
    fn a_token_is_in_the_authorization_header_or_else_in_the_cookie() {
        for (pairs, token) in [
            (&[("authorization", "Bearer abc")][..], Some("abc")),
            (&[("authorization", "bearer  abc ")], Some("abc")),
            (&[("authorization", "Bearer abc"), ("cookie", "session=other")], Some("abc")),
            (&[("authorization", "Basic abc"), ("cookie", "session=xyz")], Some("xyz")),
            (&[("authorization", "Bearer ")], None),
            (&[("authorization", "Bearer")], None),
            (&[("cookie", "a=b; session=xyz; c=d")], Some("xyz")),
            (&[("cookie", "session=\"xyz\"")], Some("xyz")),
            (&[("cookie", "session=x=y")], Some("x=y")),
            (&[("cookie", "session=")], None),
            (&[("cookie", "sessions=xyz")], None),
            (&[("cookie", "a=b"), ("cookie", "session=xyz")], Some("xyz")),
            (&[], None),
        ] {
            let mut sent = HeaderMap::new();
            for (name, value) in pairs {
                sent.append(*name, value.parse().unwrap());
            }
            assert_eq!(token_in(&sent, &options(None)), Ok(token.map(String::from)), "{pairs:?}");
        }
        let no_cookie = AcceptOptions::default();
        assert_eq!(token_in(&headers(&[("cookie", "session=xyz")]), &no_cookie), Ok(None));
    }

    #[test]
    fn a_cookie_counts_only_for_pages_of_the_same_host_and_listed_origins() {
        for (origin, host, allowed, counts) in [
            (Some("https://a.example"), "a.example", None, true),
            (Some("https://a.example"), "a.example:443", None, true),
            (Some("http://a.example:3000"), "A.example:3000", None, true),
            (Some("http://[::1]:3000"), "[::1]:3000", None, true),
            (None, "a.example", None, true),
            (Some("https://evil.example"), "a.example", None, false),
            (Some("https://evil.example"), "a.example", Some(&["https://evil.example"][..]), true),
            (Some("https://sub.a.example"), "a.example", None, false),
            (Some("https://a.example.evil.example"), "a.example", None, false),
            (Some("http://a.example:5173"), "a.example:3000", None, false),
            (Some("https://a.example@evil.example"), "a.example", None, false),
            (Some("null"), "a.example", None, false),
            (Some(""), "a.example", None, false),
            (Some("https://a.example"), "a.example/", None, true),
            (Some("https://a.example"), "x@a.example", None, false),
        ] {
            let mut pairs = vec![("cookie", "session=xyz"), ("host", host)];
            pairs.extend(origin.map(|origin| ("origin", origin)));
            let token = token_in(&headers(&pairs), &options(allowed));
            let expected = if counts { Ok(Some("xyz".to_owned())) } else { Err(CrossSite) };
            assert_eq!(token, expected, "{origin:?} {host}");
        }
        let bearer = headers(&[
            ("authorization", "Bearer abc"),
            ("cookie", "session=xyz"),
            ("host", "a.example"),
            ("origin", "https://evil.example"),
        ]);
        assert_eq!(token_in(&bearer, &options(None)), Ok(Some("abc".into())), "the cookie is not used");
    }
}
