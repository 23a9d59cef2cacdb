//! Reports client actions through the report sinks. Workers receive `Connected`, `Authenticated`, `Message` and
//! `Disconnected`; webhooks also receive `Joined` and `Left`.

use std::sync::Arc;

use serde_json::json;
use switchboard_backplane::{ClientAction, ClientMessage, Report, ReportSink, WorkerChange};
use switchboard_event::{Payload, ProjectId, Protocol, RoomName, SocketId, Target, UserId};
use switchboard_hub::{MembershipChange, Session};
use switchboard_ws::CloseCode;

use crate::node::Node;
use crate::node::clock::now_ms;
use crate::node::remote;
use crate::node::system_events::SystemEvent;

/// A report that is ready to be sent.
pub(crate) struct PendingReport {
    for_workers: Option<Arc<dyn ReportSink>>,
    for_webhooks: Option<Arc<dyn ReportSink>>,
    report: Report,
}

impl PendingReport {
    /// `None` if clients of the session's protocol are not reported.
    pub(crate) fn of(node: &Node, session: &Session, action: ClientAction) -> Option<Self> {
        let (for_workers, for_webhooks) = (sink_for(node, session.protocol), node.webhook_sink());
        if for_workers.is_none() && for_webhooks.is_none() {
            return None;
        }
        let report = report_of(session, session.users().pop(), action);
        Some(PendingReport { for_workers: for_workers.cloned(), for_webhooks: for_webhooks.cloned(), report })
    }

    pub(crate) fn send(self) {
        let PendingReport { for_workers, for_webhooks, report } = self;
        match (for_workers, for_webhooks) {
            (Some(workers), Some(webhooks)) => {
                workers.report(report.clone());
                webhooks.report(report);
            }
            (Some(sink), None) | (None, Some(sink)) => sink.report(report),
            (None, None) => {}
        }
    }
}

fn report_of(session: &Session, user: Option<UserId>, action: ClientAction) -> Report {
    Report {
        project: session.project.id.clone(),
        socket: session.id,
        protocol: Some(session.protocol),
        user,
        time_ms: now_ms(),
        action,
    }
}

/// Reports a client's action, if clients of its protocol are reported.
pub(crate) fn report(node: &Node, session: &Session, action: ClientAction) {
    if let Some(report) = PendingReport::of(node, session, action) {
        report.send();
    }
}

/// Reports that a session of a dead node goes on as this one: to workers, which do not know of the end of such a session, as
/// a new client.
pub(crate) fn report_resumed(node: &Node, session: &Session, previous: SocketId) {
    let user = session.users().pop();
    if let Some(sink) = sink_for(node, session.protocol) {
        sink.report(report_of(session, user.clone(), ClientAction::Connected));
    }
    if let Some(sink) = node.webhook_sink() {
        sink.report(report_of(session, user, ClientAction::Resumed { previous }));
    }
}

/// A session of a dead node that this node has taken.
pub(crate) struct EndedElsewhere<'a> {
    pub(crate) project: &'a ProjectId,
    pub(crate) socket: SocketId,
    pub(crate) user: Option<UserId>,
    pub(crate) rooms: Vec<RoomName>,
}

/// Reports to webhooks that a session of a dead node has left its rooms and, unless it was resumed, has disconnected.
pub(crate) fn report_end_elsewhere(node: &Node, ended: EndedElsewhere<'_>, is_resumed: bool) {
    let Some(sink) = node.webhook_sink() else { return };
    let EndedElsewhere { project, socket, user, rooms } = ended;
    let end = (!is_resumed).then_some(ClientAction::Disconnected { code: CloseCode::ABNORMAL.0 });
    for action in rooms.into_iter().map(ClientAction::Left).chain(end) {
        let (project, user) = (project.clone(), user.clone());
        sink.report(Report { project, socket, protocol: None, user, time_ms: now_ms(), action });
    }
}

/// Reports a message without a handler to webhooks alone. Returns false if no webhook receives messages.
pub(crate) fn report_message_to_webhooks(
    node: &Node,
    session: &Session,
    message: impl FnOnce() -> ClientMessage,
) -> bool {
    let sink = node.webhook_sink().filter(|sink| sink.accepts(&session.project.id, false));
    sink.inspect(|sink| {
        sink.report(report_of(session, session.users().pop(), ClientAction::Message(message())));
    })
    .is_some()
}

/// The report sink, if clients of the protocol are reported.
pub(crate) fn sink_for(node: &Node, protocol: Protocol) -> Option<&Arc<dyn ReportSink>> {
    let (sink, reported) = node.report_sink()?;
    reported[protocol.index()].then_some(sink)
}

/// Starts the report sink, and subscribes to the replies of its workers.
pub(crate) fn start(node: &Arc<Node>) {
    report_memberships(node);
    let Some((sink, _)) = node.report_sink() else { return };
    let this = Arc::downgrade(node);
    sink.start(Box::new(move |change| {
        if let Some(node) = this.upgrade() {
            notify_of_worker(&node, &change);
        }
    }));
    let this = node.clone();
    node.tasks.spawn_service(async move { remote::subscribe_to_answers(&this).await });
}

/// Completes once replies of workers reach this node, which may take a moment at its start. The reply to a client that is
/// connected earlier would be lost.
pub(crate) async fn wait_for_replies(node: &Node) {
    if node.report_sink().is_some() && !node.calls.is_subscribed() {
        Box::pin(remote::subscribe_to_answers(node)).await;
    }
}

/// Reports joins and leaves of rooms to webhooks.
fn report_memberships(node: &Arc<Node>) {
    let Some(sink) = node.webhook_sink().cloned() else { return };
    node.hub().listen_to_memberships(Box::new(move |MembershipChange { session, user, target, joined }| {
        if let Target::Room(room) = target {
            let action = if joined { ClientAction::Joined } else { ClientAction::Left };
            sink.report(report_of(session, user, action(room.clone())));
        }
    }));
}

/// Calls the hooks for a worker that connected or disconnected.
fn notify_of_worker(node: &Node, change: &WorkerChange) {
    let WorkerChange { project, worker, group, joined } = change;
    let event = if *joined { SystemEvent::PortalJoin } else { SystemEvent::PortalLeave };
    if let Some(hooks) = node.hooks(event) {
        let data = json!({ "portal": worker, "group": group, "project": project });
        hooks.notify_project_event(event, project, Payload::of(&data).expect("strings serialize as JSON"));
    }
}
