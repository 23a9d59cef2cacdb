//! The sections of the page of `serve`: one for each protocol that is on, with code that connects to this address.

use switchboard_pages::{front, snippets};

use super::html::{Html, fill};
use super::visit::Visit;

/// A section, with its entry in the table of contents.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) html: Html,
}

/// The project in a snippet if the visitor may not see the names of the projects.
const SOME_PROJECT: &str = "YOUR-PROJECT";

/// The rights that the code of each section needs.
const ROOM_RIGHTS: &str = "{\"#lobby\":\"js\"}";
const SHARD_RIGHTS: &str = "{\"shard:*\":\"jsp\"}";

pub(super) fn sections(visit: &Visit<'_>) -> Vec<Section> {
    let config = visit.config;
    let rooms = Section { id: "rooms", title: "Rooms", html: rooms(visit) };
    let shards = config.koji.enabled.then(|| Section { id: "shards", title: "Shards", html: shards(visit) });
    let users = config.mesa.enabled.then(|| Section { id: "users", title: "Users", html: users(visit) });
    [Some(rooms), shards, users].into_iter().flatten().collect()
}

fn rooms(visit: &Visit<'_>) -> Html {
    let path = if needs_token(visit) { "/?token=TOKEN" } else { "/" };
    let code = snippets::ROOMS.replace(snippets::ADDRESS, &visit.address.websocket(path));
    let other_events = match visit.config.emit.reports.enabled {
        true => "All other events go to the workers of this server.",
        false => "No other event has a handler.",
    };
    fill(
        front::ROOMS,
        &[
            ("code", Html::text(code)),
            ("note", [note(visit), rights(visit, "Token for rooms", ROOM_RIGHTS)].into_iter().collect()),
            ("other_events", fill("<p>{{text}}</p>", &[("text", Html::text(other_events))])),
        ],
    )
}

fn shards(visit: &Visit<'_>) -> Html {
    let projects = &visit.config.projects;
    let mut code = snippets::SHARD.replace(snippets::ADDRESS, &visit.address.websocket("/"));
    if !projects.any {
        let named = if visit.is_local { projects.named.keys().next() } else { None };
        let project = named.map_or_else(|| SOME_PROJECT.to_owned(), |id| query_value(id));
        code = code.replace(snippets::SHARD_PROJECT, &format!("projectId={project}"));
    }
    if needs_token(visit) {
        let with_token = format!("{}&authorization=TOKEN", snippets::SHARD_CAPACITY);
        code = code.replace(snippets::SHARD_CAPACITY, &with_token);
    }
    let notes = [note(visit), rights(visit, "Token for shards", SHARD_RIGHTS)];
    fill(front::SHARDS, &[("code", Html::text(code)), ("note", notes.into_iter().collect())])
}

fn users(visit: &Visit<'_>) -> Html {
    let address = visit.address.websocket(&path(&visit.config.mesa.path));
    let code = snippets::USER.replace(snippets::USER_ADDRESS, &address);
    let commands = if visit.is_local { commands(visit) } else { Html::default() };
    fill(front::USERS, &[("code", Html::text(code)), ("note", note(visit)), ("commands", commands)])
}

/// How a reader of the settings makes a token and sends a message.
fn commands(visit: &Visit<'_>) -> Html {
    let config = visit.config;
    if config.auth.jwt_secret.is_empty() || !config.api.is_on() {
        return Html::of(
            "<p><code>auth.jwt_secret</code> lets the command <code>switchboard token make</code> make tokens, and \
             <code>api.keys</code> or <code>api.named_keys</code> turns on the HTTP API, with which backends send.</p>",
        );
    }
    fill(front::USER_COMMANDS, &[("api", Html::text(config.api.listen.to_string()))])
}

/// Returns true if clients may do something only with a token.
fn needs_token(visit: &Visit<'_>) -> bool {
    !visit.config.is_open() && visit.config.auth.accepts_tokens()
}

/// The rights that the code needs, if clients are restricted.
fn rights(visit: &Visit<'_>, label: &'static str, can: &'static str) -> Html {
    let config = visit.config;
    match (config.is_open(), needs_token(visit)) {
        (true, _) => Html::default(),
        (false, true) if visit.is_local && !config.auth.jwt_secret.is_empty() => {
            fill(front::TOKEN_COMMAND, &[("label", Html::text(label)), ("can", Html::text(can))])
        }
        (false, true) => Html::of(front::TOKEN),
        (false, false) => Html::of("<p>The rules of the server's projects say what clients may do.</p>"),
    }
}

/// A warning, if a page that is opened as a file may not connect.
fn note(visit: &Visit<'_>) -> Html {
    match visit.config.clients.allowed_origins {
        None => Html::default(),
        Some(_) => Html::of(
            "<p>This server accepts pages of certain sites only (<code>clients.allowed_origins</code>), so the file must be \
             served by one of them: a page that is opened from a disk is refused.</p>",
        ),
    }
}

/// A path of the settings in a string of JavaScript.
fn path(path: &str) -> String {
    encoded(path, "/-._~")
}

/// A project id as a value in a query.
fn query_value(id: &str) -> String {
    encoded(id, "-._~")
}

/// Percent-encodes everything but letters, digits and the characters in `kept`.
fn encoded(text: &str, kept: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_settings_are_encoded_for_an_address_in_a_script() {
        assert_eq!(query_value("a b\"&</script>é"), "a%20b%22%26%3C%2Fscript%3E%C3%A9");
        assert_eq!(path("/push/é\"`"), "/push/%C3%A9%22%60");
    }
}
