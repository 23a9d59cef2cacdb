//! The check of `Host` and `Origin` on listeners that browsers have no business with: DNS rebinding.
//!
//! A page can let the name of its own host point to any address, also of this machine, and read what a server there
//! answers. Its requests carry the page's name as `Host`, so names that nobody has configured are refused.

use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};
use metrics::counter;
use switchboard_log::{limited, printable};

/// The names by which a listener may be called, besides IP addresses and `localhost`. A reload can replace them.
pub(super) struct Hosts {
    names: RwLock<Vec<String>>,
    /// The setting with the names.
    setting: &'static str,
}

/// Lets routes answer only requests for known hosts, from pages of known hosts or from no page.
pub(super) fn guard(routes: Router, hosts: &Arc<Hosts>) -> Router {
    routes.layer(from_fn_with_state(hosts.clone(), check))
}

async fn check(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    match hosts.refused(request.headers()) {
        None => next.run(request).await,
        Some((header, value)) => {
            counter!("switchboard_connections_refused_total", "reason" => "host").increment(1);
            limited!(
                WARN,
                header,
                value = printable(&value),
                setting = hosts.setting,
                "request refused with 403, because its host is neither an IP address, nor localhost, nor in the setting"
            );
            let setting = hosts.setting;
            let text =
                format!("the {header} of this request is not allowed; {setting} lists further host names\n");
            (StatusCode::FORBIDDEN, text).into_response()
        }
    }
}

impl Hosts {
    pub(super) fn new(names: &[String], setting: &'static str) -> Arc<Self> {
        let hosts = Hosts { names: RwLock::default(), setting };
        hosts.set(names);
        Arc::new(hosts)
    }

    /// Replaces the names of the setting.
    pub(super) fn set(&self, names: &[String]) {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        *self.names.write().expect("no code that holds the names panics") = names;
    }

    fn lists(&self, name: &str) -> bool {
        self.names.read().expect("no code that holds the names panics").iter().any(|known| known == name)
    }

    /// The header that is the reason to refuse a request, and its value. Programs of HTTP/1.0 send no `Host`.
    fn refused(&self, headers: &HeaderMap) -> Option<(&'static str, String)> {
        let text = |name: HeaderName| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        if let Some(host) = text(header::HOST)
            && !self.allows(&host)
        {
            return Some(("host", host));
        }
        let origin = text(header::ORIGIN)?;
        let is_allowed = origin.split_once("://").is_some_and(|(_, host)| self.allows(host));
        (!is_allowed).then_some(("origin", origin))
    }

    /// Returns true for an IP address, `localhost` or a name of the setting, with or without a port.
    fn allows(&self, authority: &str) -> bool {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, port)) => (host, port),
                None => return false,
            },
            None => authority.split_at(authority.rfind(':').unwrap_or(authority.len())),
        };
        let is_port = |port: &str| port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        if !port.is_empty() && !is_port(port) {
            return false;
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || name == "localhost" || self.lists(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(host: Option<&str>, origin: Option<&str>) -> Option<&'static str> {
        let hosts = Hosts::new(&["Node-1.internal".to_owned()], "internal.hosts");
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            headers.extend(value.map(|value| (name, value.parse().unwrap())));
        }
        hosts.refused(&headers).map(|(header, _)| header)
    }

    #[test]
    fn ip_addresses_localhost_and_the_names_of_the_setting_are_allowed() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:3001",
            "10.2.3.4:80",
            "[::1]:3001",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:3001",
            "localhost.",
            "node-1.internal",
            "Node-1.Internal:3001",
        ] {
            assert_eq!(refused(Some(host), None), None, "{host}");
        }
        assert_eq!(refused(None, None), None, "a program of HTTP/1.0");
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.example",
            "evil.example:3001",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "node-2.internal",
            "",
            ":3001",
            "[::1",
            "127.0.0.1:3001:1",
            "127.0.0.1:x",
            "user@localhost",
            "localhost/",
        ] {
            assert_eq!(refused(Some(host), None), Some("host"), "{host}");
        }
    }

    #[test]
    fn replaced_names_hold_from_the_next_request_on() {
        let hosts = Hosts::new(&["old.internal".to_owned()], "internal.hosts");
        assert!(hosts.allows("old.internal") && !hosts.allows("new.internal"));
        hosts.set(&["new.internal".to_owned()]);
        assert!(!hosts.allows("old.internal") && hosts.allows("new.internal"));
    }

    #[test]
    fn a_page_needs_an_allowed_host_too() {
        for (origin, reason) in [
            ("http://localhost:5173", None),
            ("https://node-1.internal", None),
            ("https://evil.example", Some("origin")),
            ("null", Some("origin")),
            ("", Some("origin")),
            ("localhost", Some("origin")),
        ] {
            assert_eq!(refused(Some("localhost:3001"), Some(origin)), reason, "{origin}");
        }
    }
}
