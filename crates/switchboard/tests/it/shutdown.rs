//! Graceful shutdown.

use serde_json::json;
use switchboard::{Reply, serve};
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
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
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
    limits.close_timeout = std::time::Duration::from_millis(50);
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
