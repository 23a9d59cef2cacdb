//! Access to this server, by protocol: its address, and the clients that may connect.

use switchboard::net::Origin;

use super::html::{Html, fill};
use super::visit::Visit;

const ROW: &str = "<li><h3>{{title}}<small>{{protocol}}</small></h3>{{state}}<p>{{text}}</p></li>";
const ON: &str = "<p><span class=\"state\">{{access}}</span></p><p><code>{{address}}</code></p>";
const OFF: &str = "<p><span class=\"state is-off\">{{protocol}} is off</span></p>";

/// One row for each protocol.
struct Row {
    title: &'static str,
    protocol: &'static str,
    /// Its address and who may use it, if it is on.
    on: Option<(String, String)>,
    text: String,
}

pub(super) fn protocols(visit: &Visit<'_>) -> Html {
    [rooms(visit), shards(visit), users(visit)].iter().map(Row::html).collect()
}

impl Row {
    fn html(&self) -> Html {
        let Row { title, protocol, on, text } = self;
        let state = match on {
            Some((address, access)) => {
                fill(ON, &[("address", Html::text(address)), ("access", Html::text(access))])
            }
            None => fill(OFF, &[("protocol", Html::text(protocol))]),
        };
        let protocol = Html::text(format!("{protocol} protocol"));
        fill(
            ROW,
            &[
                ("title", Html::text(title)),
                ("protocol", protocol),
                ("state", state),
                ("text", Html::text(text)),
            ],
        )
    }
}

fn rooms(visit: &Visit<'_>) -> Row {
    Row {
        title: "Rooms",
        protocol: "emit",
        on: Some((visit.address.websocket("/"), clients(visit))),
        text: match visit.config.is_open() {
            true => "Clients join any room and send to its members. No server code and no token is needed.".into(),
            false => "Clients join rooms and send to their members, as their tokens and the project's rules allow. \
                      No server code is needed."
                .into(),
        },
    }
}

fn shards(visit: &Visit<'_>) -> Row {
    let koji = &visit.config.koji;
    let address = visit.address.websocket("/koji?projectId=…");
    let projects = &visit.config.projects;
    let which = match (projects.any, visit.is_local) {
        (true, _) => "Any project id is accepted.".to_owned(),
        (false, true) => {
            format!("Projects: {}.", projects.named.keys().cloned().collect::<Vec<_>>().join(", "))
        }
        (false, false) => "Only the projects in the server's settings exist.".to_owned(),
    };
    let tokens = match (visit.config.auth.accepts_tokens(), visit.config.is_open()) {
        (true, true) => "A token logs a client in as a user; it is optional.",
        (true, false) => "Tokens, and the rules of projects, say which shards a client may join.",
        (false, true) => "No tokens are accepted.",
        (false, false) => "The rules of projects say which shards a client may join.",
    };
    Row {
        title: "Shards",
        protocol: "Koji",
        on: koji.enabled.then(|| (address, clients(visit))),
        text: match koji.enabled {
            true => format!(
                "Pages without a backend see who else is there and send to each other. {which} {tokens}"
            ),
            false => "koji.enabled turns it on: pages without a backend that see each other.".into(),
        },
    }
}

fn users(visit: &Visit<'_>) -> Row {
    let mesa = &visit.config.mesa;
    let address = visit.address.websocket(&mesa.path);
    let tokens = match visit.config.auth.accepts_tokens() {
        true => "Users log in with a token.",
        false => "No tokens are accepted, so nobody can log in: auth.jwt_secret sets a secret.",
    };
    Row {
        title: "Users",
        protocol: "Mesa",
        on: mesa.enabled.then(|| (address, clients(visit))),
        text: match mesa.enabled {
            true => format!("Backends send messages to logged-in users. {tokens}"),
            false => "mesa.enabled turns it on: backends send messages to logged-in users.".into(),
        },
    }
}

/// The clients that may connect. The origins are shown to local visitors only.
fn clients(visit: &Visit<'_>) -> String {
    match &visit.config.clients.allowed_origins {
        None => "Open to every page and program".into(),
        Some(origins) if visit.is_local => {
            let origins: Vec<&str> = origins.iter().map(Origin::as_str).collect();
            format!("Open to pages of {}, and to every program", origins.join(", "))
        }
        Some(_) => "Open to the pages of certain sites, and to every program".into(),
    }
}
