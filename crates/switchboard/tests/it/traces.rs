//! Traces: what nodes record of single messages.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchboard::backplane::{InboxLimits, LocalBus};
use switchboard::trace::{Outcome, Trace, TraceId, TraceStep, Tracing};
use switchboard::{App, Mesa, Payload, ProjectId, Target};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{Peer, TestServer, until};

use crate::app;
use crate::support::{connect_as, verify};

async fn member(server: &TestServer, room: &str) -> Peer {
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/join", json!(room)).await, true);
    peer
}

/// Sends a traced event to a room.
fn send(app: &App, room: &str) -> TraceId {
    let sent = app.to(room).trace().send_payload("news", Payload::of(&json!({ "n": 1 })).unwrap());
    sent.unwrap().trace.expect("it is traced")
}

fn steps(trace: &Trace) -> Vec<&TraceStep> {
    trace.nodes.iter().flat_map(|node| &node.steps).map(|step| &step.step).collect()
}

fn outcomes(trace: &Trace) -> Vec<Outcome> {
    let outcome = |step: &&TraceStep| match step {
        TraceStep::Receiver { outcome, .. } => Some(*outcome),
        _ => None,
    };
    steps(trace).iter().filter_map(outcome).collect()
}

fn written(trace: &Trace) -> usize {
    steps(trace).iter().filter(|step| matches!(step, TraceStep::Written { .. })).count()
}

#[tokio::test]
async fn a_traced_message_is_recorded_with_its_receivers_until_it_is_written() {
    let server = TestServer::start(app()).await;
    let (mut ann, mut bob) = (member(&server, "r").await, member(&server, "r").await);
    let trace = send(&server.app, "r");
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.next_event().await, ("news".into(), json!({ "n": 1 })));
    }
    let trace = server.app.trace(trace).await.unwrap();
    let message = trace.message().unwrap();
    assert_eq!((&*message.event, message.bytes, &message.to[..]), ("news", 7, &["#r".to_owned()][..]));
    assert_eq!(outcomes(&trace), [Outcome::Queued, Outcome::Queued]);
    assert_eq!(written(&trace), 2);
    let totals = steps(&trace).into_iter().find_map(|step| match step {
        TraceStep::Resolved(totals) => Some(totals.queued),
        _ => None,
    });
    assert_eq!(totals, Some(2));
    assert!(trace.unanswered.is_empty() && trace.without_record.is_empty());
}

#[tokio::test]
async fn a_message_without_trace_is_not_recorded_and_a_trace_is_not_found_in_another_project() {
    let server = TestServer::start(app()).await;
    let mut peer = member(&server, "r").await;
    server.app.to("r").emit("news", &1).unwrap();
    peer.next_event().await;
    assert!(server.app.recent_traces(10).await.unwrap().traces.is_empty());
    let trace = send(&server.app, "r");
    let other = server.app.project(&ProjectId::new("other").unwrap());
    assert!(other.trace(trace).await.unwrap().nodes.is_empty());
    assert!(other.recent_traces(10).await.unwrap().traces.is_empty());
    assert_eq!(server.app.recent_traces(10).await.unwrap().traces[0].id, trace);
}

#[tokio::test]
async fn a_trace_names_the_nodes_that_have_received_the_message_and_those_that_have_not() {
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(3) {
        nodes.push(TestServer::start(app().with_bus(Arc::new(bus))).await);
    }
    let (mut near, mut far) = (member(&nodes[0], "r").await, member(&nodes[1], "r").await);
    for node in &nodes {
        node.app.settled().await;
    }
    let id = send(&nodes[0].app, "r");
    near.next_event().await;
    far.next_event().await;
    for asked in &nodes {
        let trace = asked.app.trace(id).await.unwrap();
        let names: Vec<&str> = trace.nodes.iter().map(|node| &*node.node).collect();
        let name_of = |node: &TestServer| node.app.hub().bus().node().to_string();
        assert_eq!(names, [name_of(&nodes[0]), name_of(&nodes[1])], "the sending node is first");
        assert_eq!(trace.without_record, [nodes[2].app.hub().bus().node()]);
        assert_eq!(written(&trace), 2);
        assert!(steps(&trace).contains(&&TraceStep::Published { nodes: Some(1) }));
        let received = trace.nodes[1].steps[0].step.message().map(|message| &*message.event);
        assert_eq!(received, Some("news"));
        let recent = asked.app.recent_traces(10).await.unwrap();
        assert_eq!((recent.traces.len(), &recent.traces[0].node), (1, &name_of(&nodes[0])));
    }
}

#[tokio::test]
async fn a_stored_message_is_traced_to_its_acknowledgement_also_at_a_later_login() {
    let inbox = Arc::new(DiskInbox::in_memory(InboxLimits::default()));
    let app = App::new().with_inbox(inbox).with_mesa(Mesa::new()).with_verifier(verify);
    let server = TestServer::start(app).await;
    let emitter = server.app.to(Target::user("7").unwrap()).trace();
    let id = emitter.trace_id().unwrap();
    emitter.dispatch("N", &1).await.unwrap();
    let trace = server.app.trace(id).await.unwrap();
    assert!(steps(&trace).contains(&&TraceStep::Stored { inboxes: 1 }));

    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await["t"], "N");
    peer.silent().await.unwrap();
    let mut found = None;
    until("the acknowledgement is recorded", async || {
        let trace = server.app.trace(id).await.unwrap();
        found =
            steps(&trace).into_iter().find(|step| matches!(step, TraceStep::Acknowledged { .. })).cloned();
        found.is_some() && written(&trace) == 1
    })
    .await;
    let Some(TraceStep::Acknowledged { user, .. }) = found else { unreachable!() };
    assert_eq!(user, "7");
    let trace = server.app.trace(id).await.unwrap();
    let redelivery = |step: &&TraceStep| matches!(step, TraceStep::FromInbox { is_redelivery: true, .. });
    assert_eq!(steps(&trace).into_iter().filter(redelivery).count(), 1);
}

#[tokio::test]
async fn one_message_in_so_many_is_traced_without_a_request() {
    let server = TestServer::start(app().with_tracing(Tracing::default().with_one_in(3))).await;
    for n in 0..7 {
        server.app.to("r").emit(&format!("e{n}"), &n).unwrap();
    }
    let recent = server.app.recent_traces(10).await.unwrap();
    let mut events: Vec<&str> = recent.traces.iter().map(|trace| &*trace.message.event).collect();
    events.sort_unstable();
    assert_eq!(events, ["e0", "e3", "e6"]);
    assert_eq!(server.app.recent_traces(2).await.unwrap().traces.len(), 2);
}

#[tokio::test]
async fn nothing_is_recorded_when_traces_are_off() {
    let options = Tracing::default().with_keep(Duration::ZERO).with_one_in(1);
    let server = TestServer::start(app().with_tracing(options)).await;
    let mut peer = member(&server, "r").await;
    let trace = send(&server.app, "r");
    assert_eq!(peer.next_event().await.0, "news");
    assert!(server.app.trace(trace).await.unwrap().nodes.is_empty());
    assert!(server.app.recent_traces(10).await.unwrap().traces.is_empty());
}
