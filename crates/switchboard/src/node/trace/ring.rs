//! The traces that a node remembers: bounded in messages, steps, bytes and age.

use std::collections::{HashMap, VecDeque};

use switchboard_event::{ProjectId, TraceId};

use super::options::Tracing;
use super::record::{TimedStep, TraceStep};

/// Most steps of one message. Those that follow are counted.
pub(super) const STEPS_MAX: usize = 1000;

/// The traces of a node.
pub(super) struct Ring {
    options: Tracing,
    traces: HashMap<(ProjectId, TraceId), Recorded>,
    /// From the oldest, each with the time at which it ends, in µs.
    order: VecDeque<(u64, ProjectId, TraceId)>,
    bytes: usize,
}

#[derive(Default)]
struct Recorded {
    steps: Vec<TimedStep>,
    left_out: u64,
    bytes: usize,
}

/// The outcome of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    Recorded,
    /// The message has too many steps, or is forgotten.
    LeftOut,
}

impl Ring {
    pub(super) fn new(options: Tracing) -> Self {
        Ring { options, traces: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    /// Adds a step. Only one that describes the message begins a trace; others of an unknown one are left out.
    pub(super) fn add(&mut self, project: &ProjectId, trace: TraceId, at_us: u64, step: TraceStep) -> Added {
        self.forget_old(at_us);
        let key = (project.clone(), trace);
        if !self.traces.contains_key(&key) {
            // The last steps of a message that is forgotten must not begin it again.
            let begins = step.message().is_some() || matches!(step, TraceStep::FromInbox { .. });
            if !begins || !self.options.is_on() {
                return Added::LeftOut;
            }
            let keep_us = u64::try_from(self.options.keep.as_micros()).unwrap_or(u64::MAX);
            self.order.push_back((at_us.saturating_add(keep_us), project.clone(), trace));
        }
        let recorded = self.traces.entry(key).or_default();
        if recorded.steps.len() >= STEPS_MAX {
            recorded.left_out += 1;
            return Added::LeftOut;
        }
        let bytes = step.bytes();
        recorded.steps.push(TimedStep { at_us, step });
        recorded.bytes += bytes;
        self.bytes += bytes;
        while self.order.len() > 1
            && (self.bytes > self.options.bytes_max || self.order.len() > self.options.messages_max)
        {
            self.forget_oldest();
        }
        Added::Recorded
    }

    /// The steps of a message, and how many were left out.
    pub(super) fn steps(
        &mut self,
        project: &ProjectId,
        trace: TraceId,
        now_us: u64,
    ) -> Option<(Vec<TimedStep>, u64)> {
        self.forget_old(now_us);
        let recorded = self.traces.get(&(project.clone(), trace))?;
        Some((recorded.steps.clone(), recorded.left_out))
    }

    /// The messages of a project with their first steps, the newest first.
    pub(super) fn newest_first<'a>(
        &'a mut self,
        project: &'a ProjectId,
        now_us: u64,
    ) -> impl Iterator<Item = (TraceId, u64, &'a TraceStep)> {
        self.forget_old(now_us);
        let of_project = self.order.iter().rev().filter(move |(_, of, _)| of == project);
        of_project.filter_map(|(_, project, id)| {
            let first = self.traces.get(&(project.clone(), *id))?.steps.first()?;
            Some((*id, first.at_us, &first.step))
        })
    }

    fn forget_old(&mut self, now_us: u64) {
        while self.order.front().is_some_and(|(ends_us, ..)| *ends_us <= now_us) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, project, trace)) = self.order.pop_front() else { return };
        if let Some(recorded) = self.traces.remove(&(project, trace)) {
            self.bytes -= recorded.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::Described;
    use super::*;

    fn project() -> ProjectId {
        ProjectId::new("p").unwrap()
    }

    fn sent() -> TraceStep {
        let (event, to, except) = ("e".into(), Vec::new(), Vec::new());
        TraceStep::Sent(Described { event, bytes: 2, sender: None, to, except })
    }

    fn begin(ring: &mut Ring, at_us: u64) -> TraceId {
        let trace = TraceId::random();
        assert_eq!(ring.add(&project(), trace, at_us, sent()), Added::Recorded);
        trace
    }

    #[test]
    fn the_oldest_trace_is_forgotten_at_each_bound() {
        let mut ring = Ring::new(Tracing::default().with_messages_max(2));
        let [first, second, third] = [0, 1, 2].map(|at| begin(&mut ring, at));
        assert!(ring.steps(&project(), first, 2).is_none());
        assert!(ring.steps(&project(), second, 2).is_some() && ring.steps(&project(), third, 2).is_some());

        let mut ring = Ring::new(Tracing::default().with_bytes_max(2 * sent().bytes()));
        let [first, second, third] = [0, 1, 2].map(|at| begin(&mut ring, at));
        assert!(ring.steps(&project(), first, 2).is_none());
        assert!(ring.steps(&project(), second, 2).is_some() && ring.steps(&project(), third, 2).is_some());

        let mut ring = Ring::new(Tracing::default().with_keep(Duration::from_micros(10)));
        let [first, second] = [0, 5].map(|at| begin(&mut ring, at));
        assert!(ring.steps(&project(), first, 9).is_some());
        assert!(ring.steps(&project(), first, 10).is_none() && ring.steps(&project(), second, 10).is_some());
        assert_eq!((ring.len(), ring.bytes), (1, sent().bytes()));
    }

    #[test]
    fn a_forgotten_trace_is_not_begun_again_by_its_last_steps() {
        let mut ring = Ring::new(Tracing::default().with_messages_max(1));
        let first = begin(&mut ring, 0);
        begin(&mut ring, 1);
        let published = TraceStep::Published { nodes: None };
        assert_eq!(ring.add(&project(), first, 2, published), Added::LeftOut);
        assert_eq!(ring.len(), 1);
    }

    #[test]
    fn further_steps_of_a_message_are_counted() {
        let mut ring = Ring::new(Tracing::default());
        let trace = begin(&mut ring, 0);
        let add = |ring: &mut Ring| ring.add(&project(), trace, 0, TraceStep::Published { nodes: None });
        (1..STEPS_MAX).for_each(|_| assert_eq!(add(&mut ring), Added::Recorded));
        assert_eq!((add(&mut ring), add(&mut ring)), (Added::LeftOut, Added::LeftOut));
        let (steps, left_out) = ring.steps(&project(), trace, 0).unwrap();
        assert_eq!((steps.len(), left_out), (STEPS_MAX, 2));
    }

    #[test]
    fn nothing_is_recorded_when_traces_are_off_and_nothing_is_found_in_another_project() {
        let mut ring = Ring::new(Tracing::default().with_messages_max(0));
        assert_eq!(ring.add(&project(), TraceId::random(), 0, sent()), Added::LeftOut);
        let mut ring = Ring::new(Tracing::default());
        let trace = begin(&mut ring, 0);
        assert!(ring.steps(&ProjectId::new("other").unwrap(), trace, 0).is_none());
    }
}
