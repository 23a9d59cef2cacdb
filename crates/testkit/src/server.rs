//! A server on a free port.

use std::net::SocketAddr;

use switchboard::net::{Serve, WorkerThreads};
use switchboard::{App, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Peer, RawPeer, soon};

/// A running server; dropping it stops the server.
pub struct TestServer {
    /// Its address.
    pub address: SocketAddr,
    /// Its app.
    pub app: App,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    /// Starts a server for an app.
    pub async fn start(app: App) -> Self {
        Self::start_with(app, |server| server).await
    }

    /// Starts a server with its connections on worker threads.
    pub async fn start_on(app: App, threads: &WorkerThreads) -> Self {
        Self::start_with(app, |server| server.with_worker_threads(threads)).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    async fn start_with(app: App, configure: impl FnOnce(Serve) -> Serve) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (stop, stopped) = oneshot::channel();
        let serving = configure(serve(listener, app.clone())).with_graceful_shutdown(async {
            // The sender is dropped with the server.
            let _ = stopped.await;
        });
        TestServer { address, app, stop: Some(stop), running: tokio::spawn(async { serving.await }) }
    }

    /// A WebSocket URL on the server.
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// Connects a peer.
    pub async fn peer(&self) -> Peer {
        Peer::connect(&self.url("/")).await
    }

    /// Connects a peer at the level of bytes.
    pub async fn raw(&self) -> RawPeer {
        RawPeer::open(self.address).await
    }

    /// Requests the server to stop.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has stopped.
    pub async fn stopped(self) {
        drop(self.stop);
        soon("the server stops", self.running)
            .await
            .expect("the server does not panic")
            .expect("it stops without an error");
    }
}
