//! Keys of the HTTP API: which requests each key may make, tried with every endpoint of the description.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_testkit::Scratch;

use crate::backend::{Answer, KEY, api, call, results, send};
use crate::support::{Server, get};

const NAMED: &str = "fedcba9876543210-named";

/// An endpoint of the description, with a request that it accepts.
struct Endpoint {
    name: String,
    method: String,
    path: String,
    /// None for a batch, which checks the scopes of its calls.
    scope: Option<String>,
    body: Value,
}

impl Endpoint {
    fn call(&self, address: &str, key: Option<&str>) -> Answer {
        let authorization = key.map(|key| format!("Bearer {key}"));
        self.call_with(address, authorization.as_deref(), &self.body)
    }

    fn call_with(&self, address: &str, authorization: Option<&str>, body: &Value) -> Answer {
        let headers: Vec<(&str, &str)> =
            authorization.iter().map(|value| ("Authorization", *value)).collect();
        let body = if self.method == "POST" { body.to_string() } else { String::new() };
        send(address, &self.method, &self.path, &headers, &body).expect("an answer")
    }
}

/// All endpoints of the description, with its examples as parameters and bodies.
fn endpoints(address: &str) -> Vec<Endpoint> {
    let answer = get(address, "/api/v1/openapi.json");
    let (_, text) = answer.split_once("\r\n\r\n").expect("a body");
    let description: Value = serde_json::from_str(text).expect("it is JSON");
    let paths = description["paths"].as_object().expect("paths");
    let endpoints = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.iter().map(move |(method, operation)| endpoint(path, method, operation))
    });
    endpoints.collect()
}

fn endpoint(path: &str, method: &str, operation: &Value) -> Endpoint {
    let name = operation["operationId"].as_str().expect("a name").to_owned();
    let mut path = path.to_owned();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] == "path" {
            let example =
                parameter["example"].as_str().unwrap_or_else(|| panic!("{name}: {parameter} has no example"));
            let placeholder = format!("{{{}}}", parameter["name"].as_str().expect("a name"));
            path = path.replace(&placeholder, &example.replace('#', "%23"));
        }
    }
    let body = &operation["requestBody"]["content"]["application/json"]["example"];
    assert!(method != "post" || body.is_object(), "{name} has no example of a body");
    Endpoint {
        scope: operation["security"][0]["key"][0].as_str().map(str::to_owned),
        method: method.to_uppercase(),
        body: body.clone(),
        name,
        path,
    }
}

/// Starts a server with a second key, and returns the address of its API.
fn api_with(settings: &[&str]) -> (Server, String) {
    let key = format!("api.named_keys.named.keys={NAMED}");
    api(&[&[&*key], settings].concat())
}

#[tokio::test]
async fn every_endpoint_refuses_requests_without_a_valid_key() {
    let (_server, address) = api_with(&[
        "api.named_keys.named.scopes=[\"read\", \"send\", \"manage\"]",
        "api.named_keys.named.expires_at=2020-01-01T00:00:00Z",
    ]);
    for endpoint in endpoints(&address) {
        for (key, code) in [
            (None, "unauthorized"),
            (Some(""), "unauthorized"),
            (Some("0123456789abcdef"), "unauthorized"),
            (Some(&KEY[1..]), "unauthorized"),
            (Some(NAMED), "expired"),
        ] {
            let answer = endpoint.call(&address, key);
            assert_eq!(
                (answer.status, &answer.body["code"]),
                (401, &json!(code)),
                "{} {key:?}",
                endpoint.name
            );
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
            assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        }
    }
}

#[tokio::test]
async fn every_endpoint_refuses_keys_without_its_scope() {
    for scope in ["read", "send", "manage"] {
        let (_server, address) = api_with(&[&format!("api.named_keys.named.scopes=[\"{scope}\"]")]);
        for endpoint in endpoints(&address) {
            let answer = endpoint.call(&address, Some(NAMED));
            let Some(needed) = &endpoint.scope else {
                let refused = results(&answer).iter().filter(|result| result["status"] == 403).count();
                assert_eq!(
                    refused,
                    [("read", 2), ("send", 1), ("manage", 1)]
                        .into_iter()
                        .find(|known| known.0 == scope)
                        .expect("a scope")
                        .1
                );
                continue;
            };
            let is_refused = answer.status == 403;
            assert_eq!(is_refused, needed != scope, "{} {scope}: {}", endpoint.name, answer.body);
            if is_refused {
                let detail = answer.body["detail"].as_str().expect("a reason");
                assert!(detail.contains(needed), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn every_endpoint_refuses_keys_of_other_projects() {
    let scopes = "api.named_keys.named.scopes=[\"read\", \"send\", \"manage\"]";
    let (_server, address) = api_with(&[scopes, "api.named_keys.named.projects=[\"shop\"]"]);
    for endpoint in endpoints(&address) {
        let answer = endpoint.call(&address, Some(NAMED));
        if endpoint.scope.is_none() {
            assert!(
                results(&answer).iter().all(|result| result["body"]["code"] == "forbidden"),
                "{}",
                answer.body
            );
            continue;
        }
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("forbidden")), "{}", endpoint.name);
    }
    let key = format!("Bearer {NAMED}");
    let body = json!({ "type": "SAID", "to": { "everyone": true }, "project": "shop" }).to_string();
    let allowed = send(&address, "POST", "/api/v1/dispatch", &[("Authorization", &key)], &body);
    assert_eq!(allowed.expect("an answer").status, 200);
}

#[tokio::test]
async fn every_example_of_the_description_is_accepted() {
    let scratch = Scratch::new();
    let path = format!("inbox.path={}", scratch.file("inbox.redb"));
    let (_server, address) = api(&[&path, "inbox.enabled=true", "history.rooms.lobby.messages_max=9"]);
    for endpoint in endpoints(&address) {
        let answer = endpoint.call(&address, Some(KEY));
        assert_eq!(answer.status, 200, "{}: {}", endpoint.name, answer.body);
    }
}

/// Each member of each example takes a value of every other type in turn. It may be accepted, and otherwise the problem
/// names the member.
#[tokio::test]
async fn every_endpoint_names_the_member_of_a_wrong_type() {
    let (_server, address) = api(&["api.requests_per_second=none"]);
    let authorization = format!("Bearer {KEY}");
    for endpoint in endpoints(&address).iter().filter(|endpoint| endpoint.method == "POST") {
        let refuse = |body: &Value, field: Option<&str>| {
            let answer = endpoint.call_with(&address, Some(&authorization), body);
            let found = (answer.status, answer.body["code"].as_str(), answer.body["field"].as_str());
            assert_eq!(found, (400, Some("invalid"), field), "{} {body}: {}", endpoint.name, answer.body);
        };
        for wrong in [json!(null), json!(7), json!("text"), json!([7]), json!([[]])] {
            refuse(&wrong, None);
        }
        // A call that needs no member accepts none. All members of a drain have defaults.
        if endpoint.body != json!({}) && endpoint.name != "drain" {
            refuse(&json!({}), None);
        }
        for member in endpoint.body.as_object().expect("an object").keys() {
            for wrong in [
                json!(-1),
                json!(1.5),
                json!("\u{1}"),
                json!([7]),
                json!({ "x": 7 }),
                json!(true),
                json!(null),
            ] {
                let mut body = endpoint.body.clone();
                body[member] = wrong;
                let answer = endpoint.call_with(&address, Some(&authorization), &body);
                let is_named = answer.body["field"].as_str().is_some_and(|field| field.starts_with(member));
                // Without an inbox, the example of a stored message is refused whatever its data.
                let is_accepted =
                    answer.status == 200 || (answer.status == 400 && answer.body["field"] == "sync");
                assert!(
                    is_accepted || (answer.status == 400 && is_named),
                    "{} {body}: {}",
                    endpoint.name,
                    answer.body
                );
            }
        }
        let mut unknown = endpoint.body.clone();
        unknown["unexpected"] = json!(1);
        refuse(&unknown, Some("unexpected"));
        if endpoint.scope.is_some() {
            let mut project = endpoint.body.clone();
            for wrong in [json!(""), json!("x".repeat(257)), json!(7)] {
                project["project"] = wrong;
                refuse(&project, Some("project"));
            }
        }
    }
}

/// Sends bytes to an endpoint behind a head with the given lines, and returns everything that the server answers.
fn raw(address: &str, path: &str, lines: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the API listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n{lines}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).expect("the API reads");
    let mut answer = String::new();
    // It may end with a reset.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn every_endpoint_refuses_bodies_that_are_no_json_too_large_unfinished_or_of_two_lengths() {
    let settings =
        ["api.requests_per_second=none", "api.body_bytes_max=4096", "limits.http_body_timeout_ms=300"];
    let (_server, address) = api(&settings);
    let headers = [("Authorization", &*format!("Bearer {KEY}"))];
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
    for Endpoint { name, path, .. } in endpoints(&address).iter().filter(|endpoint| endpoint.method == "POST")
    {
        for text in ["", "{", "nonsense", "{}}", "\0", "\"text\"", "{\"x\":1e999}", &deep] {
            let answer = send(&address, "POST", path, &headers, text).expect("an answer");
            assert_eq!((answer.status, &answer.body["code"]), (400, &json!("invalid")), "{name} {text}");
        }
        let large = json!({ "x": "y".repeat(5000) }).to_string();
        let answer = send(&address, "POST", path, &headers, &large).expect("an answer");
        assert_eq!((answer.status, &answer.body["code"]), (413, &json!("too_large")), "{name}");
        for lines in [
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Content-Length: -1\r\n",
        ] {
            let answer = raw(&address, path, lines, "{}x");
            assert!(answer.starts_with("HTTP/1.1 400"), "{name} {lines}: {answer}");
        }
        // The rest never comes.
        let answer = raw(&address, path, "Content-Length: 100\r\n", "{");
        assert!(!answer.starts_with("HTTP/1.1 2"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let (_server, address) = api(&[]);
    for (method, path, status, code) in [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("DELETE", "/api/v1/dispatch", 405, "method_not_allowed"),
        ("OPTIONS", "/api/v1/dispatch", 405, "method_not_allowed"),
    ] {
        let answer = send(&address, method, path, &[], "").expect("an answer");
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{method} {path}");
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
    }
    let page = get(&address, "/api/v1/problems");
    assert!(page.contains("\n## body_mismatch\n"), "{page}");
}

#[tokio::test]
async fn the_page_to_try_the_api_loads_nothing_from_other_hosts() {
    let (_server, address) = api(&[]);
    let answer = |path: &str| send(&address, "GET", path, &[], "").expect("an answer");
    assert_eq!(answer("/api/v1/docs").status, 308);
    let page = answer("/api/v1/docs/");
    assert!(page.status == 200 && page.head.contains("content-type: text/html"), "{}", page.head);
    assert!(
        page.head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{}",
        page.head
    );
    for file in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-initializer.js",
    ] {
        assert_eq!(answer(&format!("/api/v1/docs/{file}")).status, 200, "{file}");
    }
    assert!(get(&address, "/api/v1/docs/swagger-initializer.js").contains("\"../openapi.json\""));
    assert_eq!(answer("/api/v1/docs/..%2fopenapi.json").status, 404);
}

#[test]
fn the_api_speaks_http_2_without_tls_and_checks_the_host_there_too() {
    let (_server, address) = api(&["api.hosts=[\"api.internal\"]"]);
    let (port, key) = (address.rsplit(':').next().expect("a port"), format!("Authorization: Bearer {KEY}"));
    let cases = [
        ("api.internal", "send", &*key, "2 200"),
        ("evil.example", "send", &*key, "2 403"),
        ("api.internal", "send", "Authorization: Bearer wrong", "2 401"),
        ("api.internal", "nothing", &*key, "2 404"),
        ("api.internal", "rooms", &*key, "2 405"),
    ];
    // An answer before the request's body was read is a race, so it is tried several times.
    for (host, path, key, expected) in cases.iter().cycle().take(10 * cases.len()) {
        let url = format!("http://{host}:{port}/api/v1/{path}");
        let resolve = format!("{host}:{port}:127.0.0.1");
        let output = std::process::Command::new("curl")
            .args(["-s", "--http2-prior-knowledge", "--resolve", &resolve, "-H", key, "-o", "/dev/null"])
            .args([
                "-w",
                "%{http_version} %{http_code}",
                "-d",
                r#"{"event":"a","to":{"everyone":true}}"#,
                &url,
            ])
            .output();
        let output = output.expect("curl runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), *expected, "{host} {path}");
    }
}

#[tokio::test]
async fn the_keys_are_listed_with_their_last_use_and_without_their_secrets() {
    let (_server, address) =
        api_with(&["api.named_keys.named.scopes=[\"read\"]", "api.named_keys.named.projects=[\"shop\"]"]);
    let headers = [("Authorization", &*format!("Bearer {KEY}"))];
    let listed = send(&address, "GET", "/api/v1/keys", &headers, "").expect("an answer");
    let keys = listed.body["keys"].as_array().expect("a list");
    assert_eq!(
        (&keys[0]["name"], &keys[0]["scopes"]),
        (&json!("api.keys[0]"), &json!(["read", "send", "manage"]))
    );
    assert!(keys[0]["last_used_at_ms"].as_u64().is_some_and(|used| used > 0), "{}", keys[0]);
    assert_eq!(keys[1], json!({ "name": "named", "scopes": ["read"], "projects": ["shop"] }));
    assert!(!listed.body.to_string().contains(NAMED));
    assert_eq!(call(&address, "keys", &json!({})).status, 405);
}
