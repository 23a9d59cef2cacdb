//! Which requests come from the pages of the console: a page of another origin must not use the cookie.

use axum::extract::Request;
use http::{HeaderMap, header};

/// The header that the pages add to each request. Browsers let a page of another origin add it only after a question
/// (CORS), which no route answers.
const HEADER: &str = "x-switchboard-console";

/// Returns true if a page of the console sent the request. Programs can send the same; they have no cookie to abuse.
pub(super) fn is_of_a_page(request: &Request) -> bool {
    let headers = request.headers();
    headers.contains_key(HEADER) && is_same_origin(headers, request.uri().authority().map(AsRef::as_ref))
}

/// `authority` is that of the address, which HTTP/2 has in place of `Host`. Other ports of a host are the same site, so
/// `SameSite` does not keep them off.
fn is_same_origin(headers: &HeaderMap, authority: Option<&str>) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    // Browsers before 2023, and those that reach the node without TLS by another name than `localhost`, send no such header.
    match text(header::ORIGIN.as_str()) {
        None => true,
        Some(origin) => {
            let host = text(header::HOST.as_str()).or(authority);
            origin.split_once("://").is_some_and(|(_, of_page)| Some(of_page) == host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(given: &[(&'static str, &str)]) -> bool {
        let mut request = Request::new(axum::body::Body::empty());
        for (name, value) in given {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        is_of_a_page(&request)
    }

    #[test]
    fn only_requests_of_the_same_origin_with_the_header_are_accepted() {
        let page = (HEADER, "1");
        for (given, expected) in [
            (&[page][..], true),
            (&[], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[page, ("sec-fetch-site", "same-origin")], true),
            (&[page, ("sec-fetch-site", "same-site")], false),
            (&[page, ("sec-fetch-site", "cross-site")], false),
            (&[page, ("sec-fetch-site", "none")], false),
            (&[page, ("host", "a:1"), ("origin", "http://a:1")], true),
            (&[page, ("host", "a:1"), ("origin", "http://a:2")], false),
            (&[page, ("host", "a:1"), ("origin", "null")], false),
            (&[page, ("origin", "http://a:1")], false),
        ] {
            assert_eq!(is_accepted(given), expected, "{given:?}");
        }
    }
}
