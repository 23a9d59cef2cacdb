//! An address that can be pointed at another server, as after a failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Forwards TCP connections to a port of this machine. Open connections stay with the server that they were forwarded
/// to. Dropping it closes all.
pub struct Forwarder {
    port: u16,
    target: Arc<AtomicU16>,
    cut: Arc<Notify>,
    running: JoinHandle<()>,
}

impl Forwarder {
    /// Starts to forward from a free port.
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let target = Arc::new(AtomicU16::new(target));
        let cut = Arc::new(Notify::new());
        let running = tokio::spawn(forward(listener, target.clone(), cut.clone()));
        Forwarder { port, target, cut, running }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all open connections, as a network that fails. New ones are forwarded.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Forwards new connections to another port.
    pub fn point_to(&self, target: u16) {
        self.target.store(target, Ordering::Relaxed);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn forward(listener: TcpListener, target: Arc<AtomicU16>, cut: Arc<Notify>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (target, cut) = (target.load(Ordering::Relaxed), cut.clone().notified_owned());
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                tokio::select! {
                    // Ends with an error if either side is killed.
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    () = cut => {}
                }
            }
        });
    }
}
