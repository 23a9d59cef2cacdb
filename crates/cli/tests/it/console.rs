//! The console: who gets a session, which requests may use it, and where the pages are.

use serde_json::{Value, json};
use switchboard_testkit::{RedisServer, Scratch};

use crate::backend::{Answer, KEY, api, connect_seven, send};
use crate::clients::{request, until};
use crate::support::{Server, get};

/// The header that the pages add.
const PAGE: (&str, &str) = ("X-Switchboard-Console", "1");

const OTHER: &str = "fedcba9876543210-other";

/// Signs in, and returns the cookie.
fn sign_in(address: &str, key: &str) -> String {
    let answer = open(address, &[PAGE], key);
    assert_eq!(answer.status, 200, "{}", answer.body);
    cookie_of(&answer)
}

fn open(address: &str, headers: &[(&str, &str)], key: &str) -> Answer {
    send(address, "POST", "/console/session", headers, &json!({ "key": key }).to_string()).expect("an answer")
}

/// The name and the value of the cookie that an answer sets.
fn cookie_of(answer: &Answer) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    line.split(';').next().expect("a pair").to_owned()
}

fn read(address: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(address, "GET", path, headers, "").expect("an answer")
}

fn with_internal(sets: &[&str]) -> (Server, String) {
    api(&[&["internal.listen=127.0.0.1:0"], sets].concat())
}

#[tokio::test]
async fn a_key_opens_a_session_whose_cookie_takes_the_place_of_the_key() {
    let (server, address) = with_internal(&[]);
    let answer = open(&address, &[PAGE], KEY);
    assert_eq!((answer.status, &answer.body["key"]), (200, &json!("api.keys[0]")));
    assert_eq!(answer.body["scopes"], json!(["read", "send", "manage"]));
    for attribute in ["; path=/", "; max-age=28800", "; httponly", "; samesite=strict"] {
        assert!(answer.head.contains(attribute), "{}", answer.head);
    }
    assert!(!answer.head.contains("; secure"), "without TLS the browser would not send it");
    let cookie = cookie_of(&answer);
    for listener in [&address, &server.health] {
        let headers = [PAGE, ("Cookie", &*cookie)];
        assert_eq!(read(listener, "/api/v1/info", &headers).status, 200);
        assert_eq!(read(listener, "/console/session", &headers).body["node"], answer.body["node"]);
        let body = json!({ "event": "x", "to": { "everyone": true } }).to_string();
        assert_eq!(send(listener, "POST", "/api/v1/send", &headers, &body).expect("an answer").status, 200);
    }
    assert!(server.banner.contains(&format!("console  http://{address}/console/")), "{}", server.banner);
}

#[tokio::test]
async fn without_a_session_the_internal_listener_has_the_pages_and_no_api() {
    let (server, address) = with_internal(&[]);
    let authorization = format!("Bearer {KEY}");
    for headers in [&[][..], &[PAGE], &[("Authorization", &*authorization)], &[PAGE, ("Cookie", "a=b")]] {
        let answer = read(&server.health, "/api/v1/info", headers);
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("unauthorized")), "{headers:?}");
    }
    assert_eq!(read(&address, "/api/v1/info", &[("Authorization", &authorization)]).status, 200);
    for listener in [&address, &server.health] {
        let page = get(listener, "/console/");
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>Switchboard console"), "{page}");
        let policy = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'";
        assert!(page.contains(policy) && page.contains("frame-ancestors 'none'"), "{page}");
        assert!(get(listener, "/console").contains("location: console/"));
        assert!(get(listener, "/console/vendor/preact.js").contains("content-type: text/javascript"));
        assert!(get(listener, "/console/../Cargo.toml").starts_with("HTTP/1.1 4"));
    }
    assert!(get(&server.address, "/console/").starts_with("HTTP/1.1 404"), "clients get no console");
    assert!(get(&server.health, "/readyz").contains("ready"));
}

#[tokio::test]
async fn only_a_key_that_may_read_or_manage_opens_a_session() {
    let (_server, address) = api(&[
        &format!("api.named_keys.sender.keys={OTHER}"),
        "api.named_keys.sender.scopes=[\"send\"]",
        "api.named_keys.late.keys=0123456789abcdef-late",
        "api.named_keys.late.scopes=[\"read\"]",
        "api.named_keys.late.expires_at=2020-01-01T00:00:00Z",
    ]);
    for (key, status, code) in [
        ("", 401, "unauthorized"),
        ("0123456789abcdef", 401, "unauthorized"),
        (OTHER, 403, "forbidden"),
        ("0123456789abcdef-late", 401, "expired"),
    ] {
        let answer = open(&address, &[PAGE], key);
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{key}");
        assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
    }
    let long = format!("{{\"key\":\"{}\"}}", "x".repeat(5000));
    for body in ["", "{}", "[]", "{\"key\":7}", "{\"key\":\"a\",\"b\":1}", &long] {
        let answer = send(&address, "POST", "/console/session", &[PAGE], body).expect("an answer");
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_page_of_another_origin_can_neither_open_nor_use_a_session() {
    let (_server, address) = api(&[]);
    let cookie = sign_in(&address, KEY);
    for (headers, is_allowed) in [
        (vec![PAGE], true),
        (vec![PAGE, ("Sec-Fetch-Site", "same-origin")], true),
        (vec![], false),
        (vec![("Sec-Fetch-Site", "same-origin")], false),
        (vec![PAGE, ("Sec-Fetch-Site", "same-site")], false),
        (vec![PAGE, ("Sec-Fetch-Site", "cross-site")], false),
        (vec![PAGE, ("Origin", "http://localhost:1")], false),
        (vec![PAGE, ("Origin", "null")], false),
    ] {
        let with_cookie = [&headers[..], &[("Cookie", &*cookie)]].concat();
        let answer = read(&address, "/api/v1/info", &with_cookie);
        assert_eq!(answer.status == 200, is_allowed, "{headers:?}: {}", answer.status);
        let opened = open(&address, &headers, KEY);
        assert_eq!(opened.status == 200, is_allowed, "{headers:?}: {}", opened.body);
    }
    assert_eq!(
        read(&address, "/api/v1/info", &[("Cookie", &*cookie)]).status,
        401,
        "the cookie alone is no key"
    );
}

#[tokio::test]
async fn a_session_ends_with_the_sign_out_and_when_its_key_is_removed() {
    let scratch = Scratch::new();
    let file = scratch.file("switchboard.toml");
    let named = format!("[api.named_keys.operator]\nkeys = \"{OTHER}\"\nscopes = [\"read\"]\n");
    std::fs::write(&file, &named).expect("it is writable");
    let config = &*file;
    let server = Server::start(&["serve", "--config", config, "--set", "api.listen=127.0.0.1:0"]);
    let after = server.banner.split("  api      http://").nth(1).expect("the banner names it");
    let address = after.split('/').next().expect("an address").to_owned();

    let is_open = |cookie: &str| {
        let headers = [PAGE, ("Cookie", cookie)];
        read(&address, "/api/v1/info", &headers).status == 200
    };
    let (first, second) = (sign_in(&address, OTHER), sign_in(&address, OTHER));
    assert!(is_open(&first) && is_open(&second));
    let headers = [PAGE, ("Cookie", &*first)];
    let ended = send(&address, "DELETE", "/console/session", &headers, "").expect("an answer");
    assert_eq!(ended.status, 204);
    assert!(ended.head.contains("max-age=0"), "{}", ended.head);
    assert!(!is_open(&first) && is_open(&second), "the other session stays");

    std::fs::write(&file, named.replace(OTHER, "0123456789abcdef-new")).expect("it is writable");
    server.signal("-HUP");
    until("the key is gone", async || !is_open(&second)).await;
    assert!(is_open(&sign_in(&address, "0123456789abcdef-new")));
}

#[tokio::test]
async fn a_console_that_is_off_tells_its_operator_why() {
    let off = Server::start(&["serve", "--set", "internal.listen=127.0.0.1:0"]);
    let answer = get(&off.health, "/console/");
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("it needs a key in api.keys"), "{answer}");
    let (server, address) = with_internal(&["console.enabled=false"]);
    assert!(get(&server.health, "/console/").contains("console.enabled is `false`"));
    assert!(get(&address, "/console/").starts_with("HTTP/1.1 404"));
    assert!(!server.banner.contains("console"), "{}", server.banner);
}

#[tokio::test]
async fn figures_states_and_connections_are_those_of_all_nodes() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let ((one, first), (two, _)) = (api(&[&through]), api(&[&through, "limits.messages_per_s=77"]));
    let (mut seven, _eight) = (connect_seven(&one).await, connect_seven(&two).await);
    request(&mut seven, "/join", json!({ "room": "lobby" })).await;
    let authorization = format!("Bearer {KEY}");
    let ask = |path: &str| read(&first, &format!("/api/v1/{path}"), &[("Authorization", &authorization)]);
    let last = |answer: &Answer, figure: &str| {
        let values = answer.body["figures"][figure].as_array().cloned().unwrap_or_default();
        values.last().and_then(Value::as_f64).unwrap_or_default()
    };
    until("both nodes have taken a sample", async || last(&ask("figures"), "connections_emit") == 2.0).await;
    let nodes = ask("nodes").body["nodes"].as_array().cloned().expect("a list");
    assert_eq!(nodes.len(), 2);
    let id = |node: &Value| node["node"].as_str().expect("an id").to_owned();
    for node in &nodes {
        assert_eq!(node["state"]["connections"], 1, "{node}");
        assert_eq!(last(&ask(&format!("figures?node={}", id(node))), "connections_emit"), 1.0);
    }
    assert_ne!(nodes[0]["state"]["settings"], nodes[1]["state"]["settings"], "one has another limit");

    let connections = ask("connections?user=7").body;
    assert_eq!(
        (&connections["total"], connections["missing"].as_array().map(Vec::len)),
        (&json!(2), Some(0))
    );
    let in_lobby = ask("connections?user=7&room=lobby").body;
    assert_eq!(in_lobby["total"], 1);
    let socket = in_lobby["connections"][0]["socket"].as_str().expect("an id").to_owned();
    let detail = ask(&format!("connections/{socket}")).body["connection"].clone();
    assert_eq!((&detail["room_names"], &detail["user"]), (&json!(["#lobby"]), &json!("7")));
    assert_eq!(ask("connections?address=127.0.0.1&protocol=emit").body["total"], 2);
    assert_eq!(ask("connections?address=127.0.0.2").body["total"], 0);
    let pages: Vec<Value> = {
        let page = ask("connections?limit=1").body;
        let next = page["next"].as_str().expect("there is another page");
        vec![
            page["connections"][0].clone(),
            ask(&format!("connections?limit=1&after={next}")).body["connections"][0].clone(),
        ]
    };
    assert_ne!(pages[0]["socket"], pages[1]["socket"]);
    for invalid in
        ["connections?protocol=smtp", "connections?address=here", "figures?node=1", "figures?range=year"]
    {
        assert_eq!(ask(invalid).status, 400, "{invalid}");
    }

    let other = nodes.iter().find(|node| node["is_this"] == false).expect("the other node");
    let drain = |body: Value| {
        send(&first, "POST", "/api/v1/drain", &[("Authorization", &authorization)], &body.to_string())
            .expect("an answer")
    };
    let drained = drain(json!({ "node": id(other), "window_ms": 60000 }));
    assert_eq!((drained.status, &drained.body["draining"]), (200, &json!(true)));
    assert!(
        get(&two.health, "/readyz").contains("draining") && get(&one.health, "/readyz").contains("ready")
    );
    assert_eq!(drain(json!({ "node": id(other), "cancel": true })).body["draining"], false);
    assert_eq!(drain(json!({ "node": "00000000" })).status, 400);
}

#[tokio::test]
async fn settings_are_listed_with_their_sources_and_what_a_reload_would_change() {
    let scratch = Scratch::new();
    let file = scratch.file("switchboard.toml");
    std::fs::write(&file, format!("[api]\nkeys = \"{KEY}\"\n[limits]\nmessages_per_s = 50\n"))
        .expect("it is writable");
    let config = &*file;
    let server = Server::start(&["serve", "--config", config, "--set", "api.listen=127.0.0.1:0"]);
    let after = server.banner.split("  api      http://").nth(1).expect("the banner names it");
    let address = after.split('/').next().expect("an address").to_owned();
    let authorization = format!("Bearer {KEY}");
    let ask = || read(&address, "/api/v1/settings", &[("Authorization", &authorization)]).body;
    let settings = ask();
    let find = |key: &str| {
        let all = settings["settings"].as_array().expect("a list");
        all.iter().find(|setting| setting["key"] == key).cloned().expect("the setting")
    };
    assert_eq!(find("limits.messages_per_s")["value"], "50");
    let source = find("limits.messages_per_s")["source"].as_str().expect("a source").to_owned();
    assert!(source.contains("switchboard.toml:4"), "{source}");
    assert_eq!(find("api.listen")["source"], "--set api.listen");
    assert_eq!(find("koji.enabled").get("source"), None);
    assert!(!settings.to_string().contains(KEY), "{settings}");
    assert_eq!((&settings["reload_applies"], &settings["needs_restart"]), (&json!([]), &json!([])));

    std::fs::write(
        &file,
        format!("[api]\nkeys = \"{KEY}\"\n[limits]\nmessages_per_s = 60\n[stop]\nwindow_ms = 5\n"),
    )
    .expect("it is writable");
    let changed = ask();
    assert_eq!(changed["reload_applies"], json!(["limits.messages_per_s"]));
    assert_eq!(changed["needs_restart"], json!(["stop.window_ms"]));
    assert_eq!(changed["settings"], settings["settings"], "nothing is applied yet");
    std::fs::write(&file, "[limits]\nmessages_per_s = \"many\"\n").expect("it is writable");
    assert!(ask()["reload_error"].as_str().is_some_and(|error| error.contains("messages_per_s")));
}
