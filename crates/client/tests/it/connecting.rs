//! Connecting: addresses, headers, and tokens.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Reply, Request};
use switchboard_client::{Client, ConnectError, Options};
use switchboard_testkit::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::{listen, next, start};

#[tokio::test]
async fn connecting_fails_for_a_silent_server_an_invalid_address_or_header_and_a_closed_port() {
    let (_silent, url) = listen().await;
    let options = Options::default().with_connect_timeout(Duration::from_millis(50));
    assert!(matches!(Client::connect_with(&url, options).await, Err(ConnectError::Timeout(_))));
    for bad in ["", "localhost:3000", "http://localhost", "ws://", "not an address"] {
        assert!(matches!(Client::connect(bad).await, Err(ConnectError::Address(_))), "{bad}");
    }
    let header = Options::default().with_header("bad name", "x");
    assert!(matches!(Client::connect_with(&url, header).await, Err(ConnectError::Header(_))));
    let (closed, url) = listen().await;
    drop(closed);
    assert!(matches!(Client::connect(&url).await, Err(ConnectError::Failed(_))));
}

#[tokio::test]
async fn an_answer_that_is_no_websocket_is_an_error_with_its_status_and_a_hint() {
    let (listener, url) = listen().await;
    let server = async {
        for status in ["404 Not Found", "400 Bad Request", "200 OK"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let client = async {
        for hint in ["404; check the path", "400; if the port is encrypted", "200; there may be no"] {
            let error = Client::connect(&url).await.err().unwrap();
            assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    };
    soon("the answers", async { tokio::join!(server, client) }).await;
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_the_tls_feature_a_wss_address_is_refused() {
    let (_listener, url) = listen().await;
    let secure = url.replace("ws://", "wss://");
    let options = Options::default().with_connect_timeout(Duration::from_millis(50));
    assert!(matches!(Client::connect_with(&secure, options).await, Err(ConnectError::Tls)));
}

/// A JSON Web Token that is not signed: the test's verifier reads the user only.
fn token(user: &str, seconds: u64) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    format!("{}.{}.x", encode("{}"), encode(&json!({ "sub": user, "exp": now + seconds }).to_string()))
}

async fn verify(token: String) -> Result<switchboard::Identity, String> {
    use base64::Engine;
    let claims = token.split('.').nth(1).ok_or("no token")?;
    let claims =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).map_err(|e| e.to_string())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|e| e.to_string())?;
    let user =
        switchboard::UserId::new(claims["sub"].as_str().ok_or("no user")?).map_err(|e| e.to_string())?;
    Ok(switchboard::Identity::new(user))
}

#[tokio::test]
async fn a_token_logs_the_client_in_and_is_replaced_on_the_open_connection_before_it_expires() {
    let whoami = async |socket: switchboard::Socket| Reply(socket.user().map(|user| user.to_string()));
    let (sender, mut logins) = mpsc::channel(10);
    let hook = move |request: Request| {
        let sender = sender.clone();
        async move { sender.try_send(request.data::<Value>().unwrap()["user"].clone()).unwrap() }
    };
    let url = start(App::new().on("/whoami", whoami).on("@authenticated", hook).with_verifier(verify)).await;
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let source = {
        let calls = calls.clone();
        move || {
            let number = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            // The second one does not expire soon.
            async move { Ok::<_, String>(token(&format!("user-{number}"), if number == 1 { 2 } else { 3600 })) }
        }
    };
    let client = Client::connect_with(&url, Options::default().with_token_source(source)).await.unwrap();
    assert_eq!(client.request::<String>("/whoami", &()).await.unwrap(), "user-1");
    assert_eq!(next(&mut logins).await, "user-1");
    assert_eq!(next(&mut logins).await, "user-2", "on the same connection");
    assert_eq!(client.request::<String>("/whoami", &()).await.unwrap(), "user-2");
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_token_source_that_fails_or_gives_no_header_fails_the_connect() {
    let url = start(App::new()).await;
    let options = Options::default().with_token_source(async || Err::<String, _>("no login"));
    let error = Client::connect_with(&url, options).await.err();
    assert!(matches!(error, Some(ConnectError::Token(_))), "{error:?}");
    let options = Options::default().with_token_source(async || Ok::<_, String>("a\nb".into()));
    let error = Client::connect_with(&url, options).await.err();
    assert!(matches!(error, Some(ConnectError::Token(_))), "{error:?}");
}
