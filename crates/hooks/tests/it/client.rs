//! The client for calls of backends.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use switchboard_hooks::{CallError, OutgoingClient, OutgoingOptions, Reply};

use crate::backend::{Action, Backend};

async fn call(backend: &Backend, options: OutgoingOptions) -> Result<Reply, CallError> {
    let options = OutgoingOptions { allow_private: true, ..options };
    let client = OutgoingClient::new(&backend.url(), options).unwrap();
    client.post(HeaderMap::new(), Bytes::from_static(b"{}")).await
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Backend::start(|_| Action::status(200)).await;
    let location: &'static str = format!("location: {}\r\n", target.url()).leak();
    let backend = Backend::start(move |_| Action::Answer(307, location, String::new())).await;
    let reply = call(&backend, OutgoingOptions::default()).await.unwrap();
    assert_eq!(reply.status, 307);
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn a_response_is_bounded_in_bytes() {
    let backend = Backend::start(|_| Action::Answer(200, "", "x".repeat(100))).await;
    let bounded = |response_bytes_max| OutgoingOptions { response_bytes_max, ..OutgoingOptions::default() };
    assert_eq!(call(&backend, bounded(100)).await.unwrap().body.len(), 100);
    assert_eq!(call(&backend, bounded(99)).await.unwrap_err().label(), "too_long");
}

#[tokio::test]
async fn a_failed_call_names_its_reason() {
    let mut backend = Backend::start(|_| Action::Hang).await;
    let short = OutgoingOptions { timeout: Duration::from_millis(200), ..OutgoingOptions::default() };
    assert_eq!(call(&backend, short).await.unwrap_err().label(), "timeout");
    for action in [Action::Break, Action::Close] {
        backend.decide(move |_| action.clone());
        assert_eq!(call(&backend, OutgoingOptions::default()).await.unwrap_err().label(), "broken");
    }
    backend.die().await;
    assert_eq!(call(&backend, OutgoingOptions::default()).await.unwrap_err().label(), "connect");
}
