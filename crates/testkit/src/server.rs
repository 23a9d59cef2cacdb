//! A server on a free port.

use std::net::SocketAddr;

use switchboard::{App, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Peer, RawPeer, soon};

/// A running server; it ends with the test.
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// The app it serves.
    pub app: App,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    /// Starts an app.
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    pub async fn start(app: App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, app.clone()).with_graceful_shutdown(async {
            // A dropped server stops as well.
            let _ = stopped.await;
        });
        TestServer { address, app, stop: Some(stop), running: tokio::spawn(async { serving.await }) }
    }

    /// A WebSocket address on the server.
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// A new peer.
    pub async fn peer(&self) -> Peer {
        Peer::connect(&self.url("/")).await
    }

    /// A new peer that minds every byte itself.
    pub async fn raw(&self) -> RawPeer {
        RawPeer::open(self.address).await
    }

    /// Asks the server to stop.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has stopped.
    pub async fn stopped(self) {
        drop(self.stop);
        soon("the server stops", self.running)
            .await
            .expect("the server does not panic")
            .expect("it ends well");
    }
}
