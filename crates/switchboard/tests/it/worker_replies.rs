//! Reports to workers, and the subscription of a node to their replies.

use std::sync::{Arc, Weak};

use serde_json::json;
use switchboard::backplane::{
    BoxFuture, Bus, ClientAction, IfUnreached, LocalBus, NodeId, Publication, PublishError, Receiver, Report,
    ReportSink,
};
use switchboard::{App, ProjectId, Target};
use switchboard_testkit::{Peer, TestServer, soon};
use tokio::sync::{Semaphore, mpsc};

/// A bus on which subscriptions take effect when the test permits it.
struct SlowBus {
    bus: LocalBus,
    settled: Arc<Semaphore>,
}

impl Bus for SlowBus {
    fn node(&self) -> NodeId {
        self.bus.node()
    }

    fn start(&self, receiver: Weak<dyn Receiver>) {
        self.bus.start(receiver);
    }

    fn publish(&self, publication: &Publication, if_unreached: IfUnreached) -> Result<(), PublishError> {
        self.bus.publish(publication, if_unreached)
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.bus.subscribe(project, target);
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.bus.unsubscribe(project, target);
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { drop(self.settled.acquire().await) })
    }
}

/// Workers that take every report.
struct Workers(mpsc::Sender<ClientAction>);

impl ReportSink for Workers {
    fn accepts(&self, _: &ProjectId, _: bool) -> bool {
        true
    }

    fn report(&self, report: Report) {
        self.0.try_send(report.action).expect("the test takes few reports");
    }
}

#[tokio::test]
async fn clients_are_connected_once_replies_of_workers_reach_the_node() {
    let (sender, mut reports) = mpsc::channel(100);
    let settled = Arc::new(Semaphore::new(0));
    let bus = SlowBus { bus: LocalBus::default(), settled: settled.clone() };
    let app = App::new().with_bus(Arc::new(bus)).with_report_sink(Arc::new(Workers(sender)));
    let server = TestServer::start(app).await;
    let mut peer = Peer::connect(&server.url("/")).await;
    peer.send(&json!({ "event": "/sum", "data": 20, "ackId": 1 })).await;
    // All tasks share this thread: while another client shakes hands, the first would have been connected.
    let _other = Peer::connect(&server.url("/")).await;
    assert!(reports.try_recv().is_err(), "a reply to this client would be lost");
    settled.add_permits(1);
    let mut request = None;
    while request.is_none() {
        match soon("a report", reports.recv()).await.expect("the sink exists") {
            ClientAction::Connected => {}
            ClientAction::Message(message) => request = Some(message),
            other => panic!("{other:?}"),
        }
    }
    assert!(request.is_some_and(|message| message.reply_to.is_some()));
}
