//! The page at `/`. That of `serve` shows who may connect, with code to paste that connects to this address; that of
//! the demo shows its pages.
//!
//! Text from a request enters a page only as an [`Address`](address::Address), whose characters are checked, and escaped.

mod address;
mod demo;
mod html;
mod lan;
mod protocols;
mod qr;
mod sections;
mod visit;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use http::{HeaderMap, HeaderName, StatusCode, header};
use switchboard::net::HttpClient;
use switchboard_pages::front;

use crate::config::{Config, PageVisitors, TlsListener};
use address::{Address, is_local};
use html::{Html, fill};
use visit::Visit;

/// No script but the page's own file, no inline script or style, no frame. A snippet that is pasted into the browser's
/// console may connect to this server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                                       connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of the demo shows its other pages in frames.
const DEMO_CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                                            frame-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";

const NO_PAGE: &str = "There is no page here. WebSocket clients connect to this address.\n";

/// State of the routes.
struct Front {
    config: Config,
    /// The address that is shown if a request names none.
    listener: SocketAddr,
}

/// The routes of the page of `serve`, for the visitors in the settings.
pub(crate) fn serve(config: &Config, listener: SocketAddr) -> Router {
    let state = Arc::new(Front { config: config.clone(), listener });
    let files = front::FILES.iter().fold(Router::new(), |router, (path, kind, content)| {
        let file = async move |State(front): State<Arc<Front>>,
                               client: Extension<HttpClient>,
                               headers: HeaderMap| {
            match front.visit(&client, &headers) {
                Some(_) => answer(kind, CONTENT_SECURITY_POLICY, (*content).to_owned()),
                None => no_page(),
            }
        };
        router.route(path, get(file))
    });
    files.route("/", get(page)).with_state(state)
}

/// The routes of the page of the demo, for every visitor.
pub(crate) fn demo(config: &Config, listener: SocketAddr) -> Router {
    let (has_koji, is_secure) = (config.koji.enabled, config.tls.covers(TlsListener::Clients));
    let files = front::FILES.iter().fold(Router::new(), |router, (path, kind, content)| {
        let file = async move || answer(kind, CONTENT_SECURITY_POLICY, (*content).to_owned());
        router.route(path, get(file))
    });
    let page = async move |client: Extension<HttpClient>, headers: HeaderMap| {
        let address =
            Address::of(&client, &headers).unwrap_or_else(|| Address::of_listener(listener, is_secure));
        let phones = match address.is_loopback() {
            true => lan::address(listener).map(|address| Address::of_listener(address, is_secure)),
            // The browser has reached it from another machine.
            false => Some(address.clone()),
        };
        let html = demo::page(&address, phones.as_ref(), has_koji, listener.port());
        answer(HTML, DEMO_CONTENT_SECURITY_POLICY, html)
    };
    files.route("/", get(page))
}

async fn page(
    State(front): State<Arc<Front>>,
    client: Extension<HttpClient>,
    headers: HeaderMap,
) -> Response {
    match front.visit(&client, &headers) {
        Some(visit) => answer(HTML, CONTENT_SECURITY_POLICY, render(&visit)),
        None => no_page(),
    }
}

fn answer(kind: &'static str, policy: &'static str, content: String) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The page depends on the host that the request names, so no cache may keep it.
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, content).into_response()
}

fn no_page() -> Response {
    (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], NO_PAGE).into_response()
}

impl Front {
    /// `None` if the visitor may not see the page.
    fn visit(&self, client: &HttpClient, headers: &HeaderMap) -> Option<Visit<'_>> {
        let is_local = is_local(client, headers);
        let is_shown = match self.config.page.show {
            PageVisitors::Local => is_local,
            PageVisitors::Everyone => true,
            PageVisitors::Off => false,
        };
        let address = Address::of(client, headers).unwrap_or_else(|| {
            Address::of_listener(self.listener, self.config.tls.covers(TlsListener::Clients))
        });
        is_shown.then_some(Visit { config: &self.config, address, is_local })
    }
}

fn render(visit: &Visit<'_>) -> String {
    let sections = sections::sections(visit);
    let contents = sections.iter().map(|section| {
        let values = [("id", Html::text(section.id)), ("title", Html::text(section.title))];
        fill("<a href=\"#{{id}}\">{{title}}</a>", &values)
    });
    let values = [
        ("authority", Html::text(visit.address.authority())),
        ("version", Html::text(env!("CARGO_PKG_VERSION"))),
        ("contents", contents.collect()),
        ("protocols", protocols::protocols(visit)),
        ("sections", sections.iter().map(|section| section.html.clone()).collect()),
        ("visitors", Html::text(visitors(visit.config.page.show))),
        ("links", links(visit)),
    ];
    fill(front::SERVE, &values).into_string()
}

fn visitors(show: PageVisitors) -> &'static str {
    match show {
        PageVisitors::Everyone => "Every browser can see this page.",
        _ => {
            "Only browsers on the server's own machine see this page. The setting page.show opens it to everyone or turns \
             it off."
        }
    }
}

/// Links to other pages of this address.
fn links(visit: &Visit<'_>) -> Html {
    match visit.config.internal.listen {
        None if visit.is_local => Html::of(
            "<p><a href=\"/readyz\">Readiness</a> · <a href=\"/livez\">Liveness</a> · <a href=\"/metrics\">Metrics</a></p>",
        ),
        _ => Html::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(sets: &[&str], is_local: bool) -> String {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        let config = Config::load(None, &sets).expect("valid settings");
        let address = Address::of_listener(([127, 0, 0, 1], 3000).into(), false);
        render(&Visit { config: &config, address, is_local })
    }

    const SECRET: &str = "auth.jwt_secret=a secret of this test, and long enough";
    const KEY: &str = "api.keys=the key of this test, also long";

    #[test]
    fn the_page_has_a_section_and_a_snippet_for_each_protocol_that_is_on() {
        let page = visit(&[], true);
        for part in [
            env!("CARGO_PKG_VERSION"),
            "new WebSocket(&quot;ws://127.0.0.1:3000/&quot;)",
            "ws://127.0.0.1:3000/koji?projectId=pointers",
            "Mesa is off",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("127.0.0.1:3000/mesa&quot;)"), "{page}");
        let page = visit(&["koji.enabled=false", "mesa.enabled=true", "mesa.path=/push", SECRET], true);
        for part in ["Koji is off", "new WebSocket(&quot;ws://127.0.0.1:3000/push&quot;)"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("/koji?"), "{page}");
    }

    #[test]
    fn a_page_leaves_no_placeholder_and_contains_no_inline_script_or_style() {
        let all = ["mesa.enabled=true", SECRET, KEY, "clients.allowed_origins=https://a.example"];
        for sets in
            [&[][..], &all, &["koji.enabled=false", "emit.reports.enabled=true", "redis.url=redis://a"]]
        {
            for is_local in [true, false] {
                let page = visit(sets, is_local);
                let outside = page.replace("<script type=\"module\" src=\"/page/copy.js\"></script>", "");
                for part in ["{{", "<script", "<style", " style=", "onclick"] {
                    assert!(!outside.contains(part), "{part}: {page}");
                }
            }
        }
    }

    #[test]
    fn secrets_and_addresses_of_other_listeners_are_never_shown() {
        let sets = [
            "mesa.enabled=true",
            SECRET,
            KEY,
            "redis.url=redis://user:password@10.1.2.3",
            "api.listen=10.9.8.7:4001",
            "internal.listen=10.9.8.7:3001",
            "inbox.path=/srv/inbox.redb",
        ];
        for is_local in [true, false] {
            let page = visit(&sets, is_local);
            for secret in
                ["secret of this test", "key of this test", "password", "10.1.2.3", "10.9.8.7:3001", "/srv"]
            {
                assert!(!page.contains(secret), "{secret}: {page}");
            }
        }
    }

    #[test]
    fn if_rights_are_needed_the_code_has_a_place_for_a_token() {
        let sets = ["access=tokens", SECRET];
        let (local, remote) = (visit(&sets, true), visit(&sets, false));
        for page in [&local, &remote] {
            assert!(page.contains("ws://127.0.0.1:3000/?token=TOKEN&quot;"), "{page}");
            assert!(page.contains("&amp;authorization=TOKEN&quot;"), "{page}");
        }
        let command = "switchboard token make";
        assert!(
            local.contains(command) && !remote.contains(command),
            "only the owner of the secret can run it"
        );
        let by_rules = visit(&["projects.every.can={ \"#news\" = \"j\" }"], true);
        assert!(by_rules.contains("The rules of the server") && !by_rules.contains("TOKEN"), "{by_rules}");
        assert!(!visit(&["access=open", SECRET], true).contains("TOKEN"));
    }

    #[test]
    fn only_a_local_visitor_sees_the_names_of_projects_and_origins() {
        let sets =
            ["projects.any=false", "projects.named.chess={}", "clients.allowed_origins=https://a.example"];
        let (local, remote) = (visit(&sets, true), visit(&sets, false));
        for name in ["chess", "https://a.example"] {
            assert!(local.contains(name), "{name}: {local}");
            assert!(!remote.contains(name), "{name}: {remote}");
        }
        assert!(local.contains("koji?projectId=chess&amp;"), "the snippet works here: {local}");
        assert!(remote.contains("koji?projectId=YOUR-PROJECT&amp;"), "{remote}");
    }
}
