//! Reports client actions to workers through the report sink: connected, authenticated, message,
//! disconnected.

use std::sync::Arc;

use serde_json::json;
use switchboard_backplane::{ClientAction, Report, ReportSink, WorkerChange};
use switchboard_event::{Payload, Protocol};
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::clock::now_ms;
use crate::node::remote;
use crate::node::system_events::SystemEvent;

/// A report that is ready to be sent.
pub(crate) struct PendingReport {
    sink: Arc<dyn ReportSink>,
    report: Report,
}

impl PendingReport {
    /// `None` if clients of the session's protocol are not reported.
    pub(crate) fn of(node: &Node, session: &Session, action: ClientAction) -> Option<Self> {
        let sink = sink_for(node, session.protocol)?.clone();
        let report = Report {
            project: session.project.id.clone(),
            socket: session.id,
            protocol: session.protocol,
            user: session.users().pop(),
            time_ms: now_ms(),
            action,
        };
        Some(PendingReport { sink, report })
    }

    pub(crate) fn send(self) {
        self.sink.report(self.report);
    }
}

/// Reports a client's action, if clients of its protocol are reported.
pub(crate) fn report(node: &Node, session: &Session, action: ClientAction) {
    if let Some(report) = PendingReport::of(node, session, action) {
        report.send();
    }
}

/// The report sink, if clients of the protocol are reported.
pub(crate) fn sink_for(node: &Node, protocol: Protocol) -> Option<&Arc<dyn ReportSink>> {
    let (sink, reported) = node.report_sink()?;
    reported[protocol.index()].then_some(sink)
}

/// Starts the report sink, and subscribes to the replies of its workers.
pub(crate) fn start(node: &Arc<Node>) {
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

/// Calls the hooks for a worker that connected or disconnected.
fn notify_of_worker(node: &Node, change: &WorkerChange) {
    let WorkerChange { project, worker, group, joined } = change;
    let event = if *joined { SystemEvent::PortalJoin } else { SystemEvent::PortalLeave };
    if let Some(hooks) = node.hooks(event) {
        let data = json!({ "portal": worker, "group": group, "project": project });
        hooks.notify_project_event(event, project, Payload::of(&data).expect("strings serialize as JSON"));
    }
}
