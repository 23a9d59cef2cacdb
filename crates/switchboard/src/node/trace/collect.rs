//! Reads what all nodes have recorded of a message.

use switchboard_backplane::BackplaneError;
use switchboard_event::{Payload, ProjectId, TraceId};

use super::record::{NodeTrace, RecentTrace, RecentTraces, Trace, TraceStep};
use crate::node::Node;
use crate::node::message::Question;
use crate::node::questions::ask_all;

/// What all nodes have recorded of a message.
pub(crate) async fn collect(
    node: &Node,
    project: &ProjectId,
    trace: TraceId,
) -> Result<Trace, BackplaneError> {
    let asked = ask_all(node, Question::Trace { project: project.to_string(), trace }).await?;
    let (mut nodes, mut without_record) = (Vec::new(), Vec::new());
    for (id, answer) in asked.answers {
        // `None` also for a node of another version, whose steps this one cannot read.
        match answer.to::<Option<NodeTrace>>() {
            Ok(Some(recorded)) => nodes.push(recorded),
            Ok(None) | Err(_) => without_record.push(id),
        }
    }
    match read_here(node, project, trace) {
        Some(recorded) => nodes.push(recorded),
        None => without_record.push(node.hub().bus().node()),
    }
    let has_sent = |of: &NodeTrace| of.steps.iter().any(|step| matches!(step.step, TraceStep::Sent(_)));
    nodes.sort_by_cached_key(|of| (!has_sent(of), of.node.clone()));
    without_record.sort_unstable_by_key(|node| node.0);
    Ok(Trace { id: trace, nodes, without_record, unanswered: asked.unanswered })
}

/// The answer of this node to another one.
pub(crate) fn answer(node: &Node, project: &str, trace: TraceId) -> Payload {
    let recorded = ProjectId::new(project).ok().and_then(|project| read_here(node, &project, trace));
    Payload::of(&recorded).expect("names and numbers serialize as JSON")
}

/// The last traced messages of all nodes, the newest first.
pub(crate) async fn collect_recent(
    node: &Node,
    project: &ProjectId,
    limit: usize,
) -> Result<RecentTraces, BackplaneError> {
    let asked = ask_all(node, Question::RecentTraces { project: project.to_string(), limit }).await?;
    let mut traces = recent_here(node, project, limit);
    for (_, answer) in asked.answers {
        // A node of another version may answer something else.
        traces.extend(answer.to::<Vec<RecentTrace>>().unwrap_or_default());
    }
    // One entry for each message, that of the node that has sent it.
    traces.sort_unstable_by_key(|recent| (recent.id, !recent.is_sender, recent.at_us));
    traces.dedup_by_key(|recent| recent.id);
    traces.sort_unstable_by_key(|recent| std::cmp::Reverse((recent.at_us, recent.id)));
    traces.truncate(limit);
    Ok(RecentTraces { traces, unanswered: asked.unanswered })
}

/// The answer of this node to another one.
pub(crate) fn answer_recent(node: &Node, project: &str, limit: usize) -> Payload {
    let recent = ProjectId::new(project).map(|project| recent_here(node, &project, limit));
    Payload::of(&recent.unwrap_or_default()).expect("names and numbers serialize as JSON")
}

fn recent_here(node: &Node, project: &ProjectId, limit: usize) -> Vec<RecentTrace> {
    node.tracer().recent(&node.hub().bus().node().to_string(), project, limit)
}

fn read_here(node: &Node, project: &ProjectId, trace: TraceId) -> Option<NodeTrace> {
    node.tracer().read(node.hub().bus().node().to_string(), project, trace)
}
