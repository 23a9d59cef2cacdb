//! Keys of the HTTP API: which requests each key may make, tried with every endpoint of the description.

use serde_json::{Value, json};
use switchboard_testkit::Scratch;

use crate::backend::{Answer, KEY, api, call, send};
use crate::support::{Server, get};

const NAMED: &str = "fedcba9876543210-named";

/// An endpoint of the description, with a request that it accepts.
struct Endpoint {
    name: String,
    method: String,
    path: String,
    scope: String,
    body: String,
}

impl Endpoint {
    fn call(&self, address: &str, key: Option<&str>) -> Answer {
        let authorization = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> =
            authorization.iter().map(|value| ("Authorization", &**value)).collect();
        send(address, &self.method, &self.path, &headers, &self.body).expect("an answer")
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
        scope: operation["security"][0]["key"][0].as_str().expect("a scope").to_owned(),
        method: method.to_uppercase(),
        body: if body.is_null() { String::new() } else { body.to_string() },
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
            let is_refused = answer.status == 403;
            assert_eq!(is_refused, endpoint.scope != scope, "{} {scope}: {}", endpoint.name, answer.body);
            if is_refused {
                let detail = answer.body["detail"].as_str().expect("a reason");
                assert!(detail.contains(&endpoint.scope), "{detail}");
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
    let (_server, address) = api(&[&path, "inbox.enabled=true"]);
    for endpoint in endpoints(&address) {
        let answer = endpoint.call(&address, Some(KEY));
        assert_eq!(answer.status, 200, "{}: {}", endpoint.name, answer.body);
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
