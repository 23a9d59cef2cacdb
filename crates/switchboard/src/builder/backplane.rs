//! Setters of the backplane: the services that connect a node to other nodes and processes.

use std::sync::Arc;

use switchboard_backplane::{Backplane, Bus, Inbox, RateStore, ReportSink, RevocationStore, Store};
use switchboard_event::Protocol;

use crate::api::app::App;
use crate::node::trace::options::Tracing;

impl App {
    /// Connects this node to others: sets the bus and the store of a backplane, and, if it has them, its inbox, its history, its
    /// report sink, and its stores of rate counts and of revoked tokens.
    ///
    /// ```
    /// use switchboard::App;
    /// use switchboard::backplane::Backplane;
    ///
    /// // Such as `switchboard_redis::Redis::connect(Options::new("redis://…")).await?`.
    /// fn app(redis: &impl Backplane) -> App {
    ///     App::new().with_backplane(redis)
    /// }
    /// ```
    pub fn with_backplane(self, backplane: &impl Backplane) -> Self {
        let mut app = self.with_bus(backplane.bus()).with_store(backplane.store());
        if let Some(inbox) = backplane.inbox() {
            app = app.with_inbox(inbox);
        }
        if let Some(history) = backplane.history() {
            app = app.with_history(history);
        }
        if let Some(sink) = backplane.report_sink() {
            app = app.with_report_sink(sink);
        }
        if let Some(store) = backplane.rate_store() {
            app = app.with_rate_store(store);
        }
        if let Some(store) = backplane.revocation_store() {
            app = app.with_revocation_store(store);
        }
        app
    }

    /// Sets the bus that carries messages to other nodes. Default: none, a single node.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::LocalBus;
    ///
    /// let buses = LocalBus::connected(2);
    /// let nodes: Vec<App> =
    ///     buses.into_iter().map(|bus| App::new().with_bus(Arc::new(bus))).collect();
    /// # let (_peer, stream) = tokio::io::duplex(1024);
    /// # nodes[1].connect_stream(stream);
    /// nodes[0].broadcast("news", "to the sockets of both nodes")?;
    /// # assert_eq!(nodes[1].hub().stats().queued.load(std::sync::atomic::Ordering::Relaxed), 1);
    /// # Ok(()) }
    /// ```
    pub fn with_bus(self, bus: Arc<dyn Bus>) -> Self {
        self.change_settings(|settings| settings.bus = Some(bus));
        self
    }

    /// Sets the bounds of [traces](crate::Emitter::trace), and how many messages are traced by themselves.
    ///
    /// ```
    /// use switchboard::App;
    /// use switchboard::trace::Tracing;
    ///
    /// let app = App::new().with_tracing(Tracing::default().with_one_in(10_000));
    /// ```
    pub fn with_tracing(self, tracing: Tracing) -> Self {
        self.change_settings(|settings| settings.tracing = tracing);
        self
    }

    /// Sets the store of presence and seats, which all nodes share. Default: this node's memory.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::Store;
    ///
    /// fn app(shared: Arc<dyn Store>) -> App {
    ///     App::new().with_store(shared)
    /// }
    /// ```
    pub fn with_store(self, store: Arc<dyn Store>) -> Self {
        self.change_settings(|settings| settings.store = Some(store));
        self
    }

    /// Sets the inbox, which stores messages for offline users. Default: none, no message is stored.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::Inbox;
    ///
    /// fn app(inbox: Arc<dyn Inbox>) -> App {
    ///     App::new().with_inbox(inbox)
    /// }
    /// ```
    pub fn with_inbox(self, inbox: Arc<dyn Inbox>) -> Self {
        self.change_settings(|settings| settings.inbox = Some(inbox));
        self
    }

    /// Sets the sink for reports of clients' actions. A report is made when a client connects,
    /// authenticates or disconnects, and when it sends an event that has no handler. Default: none.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::ReportSink;
    ///
    /// fn app(sink: Arc<dyn ReportSink>) -> App {
    ///     App::new().with_report_sink(sink)
    /// }
    /// ```
    pub fn with_report_sink(self, sink: Arc<dyn ReportSink>) -> Self {
        self.change_settings(|settings| settings.report_sink = Some(sink));
        self
    }

    /// Sets the store of revoked tokens, which all nodes share. Default: this node's memory, so that a revoked token is
    /// accepted again after a restart until it expires.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::RevocationStore;
    ///
    /// fn app(store: Arc<dyn RevocationStore>) -> App {
    ///     App::new().with_revocation_store(store)
    /// }
    /// ```
    pub fn with_revocation_store(self, store: Arc<dyn RevocationStore>) -> Self {
        self.change_settings(|settings| settings.revocation_store = Some(store));
        self
    }

    /// Sets the sink for reports to webhooks. It receives the reports of [`with_report_sink`](Self::with_report_sink), for
    /// clients of all protocols, and a report when a socket joins or leaves a room. Default: none.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::ReportSink;
    ///
    /// fn app(sink: Arc<dyn ReportSink>) -> App {
    ///     App::new().with_webhook_sink(sink)
    /// }
    /// ```
    pub fn with_webhook_sink(self, sink: Arc<dyn ReportSink>) -> Self {
        self.change_settings(|settings| settings.webhook_sink = Some(sink));
        self
    }

    /// Sets the store that sums the counts of all nodes for [rate rules](Self::with_rate_rules). Default: none, each node counts alone.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::RateStore;
    ///
    /// fn app(store: Arc<dyn RateStore>) -> App {
    ///     App::new().with_rate_store(store)
    /// }
    /// ```
    pub fn with_rate_store(self, store: Arc<dyn RateStore>) -> Self {
        self.change_settings(|settings| settings.rate_store = Some(store));
        self
    }

    /// Limits reports to clients of these protocols. Default: all protocols.
    ///
    /// ```
    /// use switchboard::{App, Protocol};
    ///
    /// let app = App::new().with_reports_of(&[Protocol::Mesa]);
    /// ```
    pub fn with_reports_of(self, protocols: &[Protocol]) -> Self {
        self.change_settings(|settings| settings.reported_protocols = Some(protocols.into()));
        self
    }
}
