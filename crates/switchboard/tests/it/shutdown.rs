//! Graceful shutdown.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use switchboard::{Reply, Stopping, serve};
use switchboard_testkit::{Peer, TestServer, soon};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::app;

#[tokio::test]
async fn shutdown_closes_all_connections_with_1012_and_running_handlers_finish() {
    let (finishes, mut finished) = mpsc::channel(1);
    let (starts, mut started) = mpsc::channel(1);
    let app = app().on("/slow", move || {
        let (starts, finishes) = (starts.clone(), finishes.clone());
        async move {
            starts.try_send(()).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            finishes.try_send(()).unwrap();
            Reply(true)
        }
    });
    let mut server = TestServer::start(app).await;
    let mut peers = [server.peer().await, server.peer().await];
    peers[0].emit("/slow", json!({})).await;
    soon("the handler runs", started.recv()).await.unwrap();
    server.begin_stop();
    for peer in &mut peers {
        assert_eq!(peer.closed().await, (1012, "the server restarts".into()));
    }
    assert!(Peer::try_connect(&server.url("/"), &[]).await.is_err());
    drop(peers);
    server.stopped().await;
    finished.try_recv().expect("the handler had finished");
}

#[tokio::test]
async fn a_peer_that_ignores_the_close_does_not_delay_shutdown() {
    let mut limits = switchboard::Limits::default();
    limits.close_timeout = Duration::from_millis(50);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving =
        serve(listener, app().with_limits(limits)).with_graceful_shutdown(async { drop(stopped.await) });
    let peers = async {
        let unresponsive = switchboard_testkit::RawPeer::open(address).await;
        drop(stop);
        unresponsive
    };
    let (served, _unresponsive) =
        soon("the shutdown", async { tokio::join!(serving.into_future(), peers) }).await;
    served.unwrap();
}

#[tokio::test]
async fn the_window_of_a_shutdown_ends_with_the_last_socket() {
    // Longer than the process can run.
    let stopping = Stopping::default().with_window(Duration::from_millis(u64::MAX));
    for count in 0..3 {
        let app = app();
        let server = TestServer::start(app.clone()).await;
        let mut peers = FuturesUnordered::new();
        for _ in 0..count {
            let mut peer = server.peer().await;
            peers.push(async move { peer.closed().await });
        }
        // The server closes one of two; the other one leaves by itself.
        let leave = async move {
            let closed = peers.next().await;
            assert!(closed.is_none_or(|close| close == (1012, "the server restarts".into())));
        };
        tokio::join!(soon("the shutdown", app.close_within(stopping.clone())), leave);
        drop(server);
    }
}
