//! What sockets were handed out of inboxes, and how large it is: so that Redis need not look at messages again
//! to account for those that arrived.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use switchboard_event::{MessageNumber, ProjectId, UserId};

/// Most messages that are known at a time. What is handed out beyond is looked at again.
const KNOWN_MAX: usize = 100_000;

/// Numbers and sizes of messages that stood next to one another in the inbox of their user, in their order.
type Run = VecDeque<(MessageNumber, u32)>;

#[derive(Default)]
pub(super) struct HandedOut(Mutex<Known>);

#[derive(Default)]
struct Known {
    runs: HashMap<(ProjectId, UserId), Run>,
    messages: usize,
}

impl HandedOut {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("no code that holds what was handed out panics")
    }

    /// Notes what stood behind `after`, or at the front of the inbox. All of it, or what is noted has a gap.
    pub(super) fn note(
        &self,
        project: &ProjectId,
        user: &UserId,
        after: Option<MessageNumber>,
        messages: impl ExactSizeIterator<Item = (MessageNumber, u32)>,
    ) {
        let mut known = self.lock();
        let key = (project.clone(), user.clone());
        let mut run = known.take(&key);
        if after.is_none() || run.back().map(|(number, _)| *number) != after {
            run.clear();
        }
        if known.messages + run.len() + messages.len() <= KNOWN_MAX {
            run.extend(messages);
        }
        known.put_back(key, run);
    }

    /// The bytes of messages that arrived, if they are known to have stood next to one another in this order.
    /// They and all before them are forgotten.
    pub(super) fn arrived(
        &self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
    ) -> Option<u64> {
        let mut known = self.lock();
        let key = (project.clone(), user.clone());
        let mut run = known.take(&key);
        let first = run.iter().position(|(number, _)| Some(number) == numbers.first());
        let arrived = first.map(|first| run.drain(..(first + numbers.len()).min(run.len())).skip(first));
        let arrived: Vec<_> = arrived.into_iter().flatten().collect();
        known.put_back(key, run);
        let is_run = !numbers.is_empty() && arrived.iter().map(|(number, _)| number).eq(numbers);
        is_run.then(|| arrived.iter().map(|(_, bytes)| u64::from(*bytes)).sum())
    }

    /// Nothing of the user is out any more.
    pub(super) fn forget(&self, project: &ProjectId, user: &UserId) {
        self.lock().take(&(project.clone(), user.clone()));
    }
}

impl Known {
    fn take(&mut self, key: &(ProjectId, UserId)) -> Run {
        let run = self.runs.remove(key).unwrap_or_default();
        self.messages -= run.len();
        run
    }

    fn put_back(&mut self, key: (ProjectId, UserId), run: Run) {
        if !run.is_empty() {
            self.messages += run.len();
            self.runs.insert(key, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(of: &[u64]) -> Vec<MessageNumber> {
        of.iter().copied().map(MessageNumber).collect()
    }

    #[test]
    fn the_size_is_known_of_what_stood_together_and_of_nothing_else() {
        let (handed_out, project, user) =
            (HandedOut::default(), ProjectId::new("p").unwrap(), UserId::new("7").unwrap());
        let note = |after: Option<u64>, of: &[u64]| {
            let messages: Vec<_> = of.iter().map(|n| (MessageNumber(*n), *n as u32)).collect();
            handed_out.note(&project, &user, after.map(MessageNumber), messages.into_iter());
        };
        let arrived = |of: &[u64]| handed_out.arrived(&project, &user, &numbers(of));
        note(None, &[1, 2, 4, 8]);
        note(Some(8), &[16, 32]);
        assert_eq!(arrived(&[]), None);
        assert_eq!(arrived(&[1, 2]), Some(3));
        assert_eq!(arrived(&[8, 16]), Some(24), "what was before is passed over");
        assert_eq!(arrived(&[4]), None, "and forgotten");
        assert_eq!(arrived(&[32, 64]), None, "one of them is not known");
        assert_eq!(arrived(&[32]), None);

        note(None, &[1, 2, 4]);
        assert_eq!(arrived(&[1, 4]), None, "they did not stand next to one another");
        note(None, &[1, 2]);
        note(Some(8), &[16]);
        assert_eq!(arrived(&[2, 16]), None, "what may have stood between is not known");
        note(None, &[1, 2]);
        handed_out.forget(&project, &user);
        assert_eq!(arrived(&[1]), None);
        assert!(handed_out.lock().runs.is_empty() && handed_out.lock().messages == 0);
    }

    #[test]
    fn no_more_is_known_than_may_be() {
        let (handed_out, project) = (HandedOut::default(), ProjectId::new("p").unwrap());
        for user in ["7", "8"] {
            let messages = (0..KNOWN_MAX / 2 + 1).map(|n| (MessageNumber(n as u64), 1));
            handed_out.note(&project, &UserId::new(user).unwrap(), None, messages);
        }
        assert_eq!(handed_out.arrived(&project, &UserId::new("7").unwrap(), &numbers(&[0, 1])), Some(2));
        assert_eq!(handed_out.arrived(&project, &UserId::new("8").unwrap(), &numbers(&[0, 1])), None);
    }
}
