//! Sizes of the messages that sockets have received from inboxes.
//!
//! A receipt that contains the total size of its messages lets Redis remove them without reading them again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use switchboard_event::{MessageNumber, ProjectId, UserId};

/// Maximum number of known sizes. Redis reads the messages with unknown sizes again.
const KNOWN_MAX: usize = 100_000;

/// Numbers and sizes of consecutive messages of one inbox, in their order.
type Run = VecDeque<(MessageNumber, u32)>;

#[derive(Default)]
pub(super) struct MessageSizes(Mutex<Known>);

#[derive(Default)]
struct Known {
    runs: HashMap<(ProjectId, UserId), Run>,
    messages: usize,
}

impl MessageSizes {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("no code that holds the sizes panics")
    }

    /// Adds all messages that were read after `after`, or from the front of the inbox. Messages that do not
    /// continue the known run replace it.
    pub(super) fn add(
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

    /// Total size of acknowledged messages, if they are known to be consecutive and in this order. They and
    /// all before them are forgotten.
    pub(super) fn acknowledge(
        &self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
    ) -> Option<u64> {
        let mut known = self.lock();
        let key = (project.clone(), user.clone());
        let mut run = known.take(&key);
        let first = run.iter().position(|(number, _)| Some(number) == numbers.first());
        let acknowledged = first.map(|first| run.drain(..(first + numbers.len()).min(run.len())).skip(first));
        let acknowledged: Vec<_> = acknowledged.into_iter().flatten().collect();
        known.put_back(key, run);
        let is_run = !numbers.is_empty() && acknowledged.iter().map(|(number, _)| number).eq(numbers);
        is_run.then(|| acknowledged.iter().map(|(_, bytes)| u64::from(*bytes)).sum())
    }

    /// Forgets the messages of a user.
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
    fn the_size_is_known_for_consecutive_messages_only() {
        let (sizes, project, user) =
            (MessageSizes::default(), ProjectId::new("p").unwrap(), UserId::new("7").unwrap());
        let add = |after: Option<u64>, of: &[u64]| {
            let messages: Vec<_> = of.iter().map(|n| (MessageNumber(*n), *n as u32)).collect();
            sizes.add(&project, &user, after.map(MessageNumber), messages.into_iter());
        };
        let acknowledge = |of: &[u64]| sizes.acknowledge(&project, &user, &numbers(of));
        add(None, &[1, 2, 4, 8]);
        add(Some(8), &[16, 32]);
        assert_eq!(acknowledge(&[]), None);
        assert_eq!(acknowledge(&[1, 2]), Some(3));
        assert_eq!(acknowledge(&[8, 16]), Some(24), "earlier messages are skipped");
        assert_eq!(acknowledge(&[4]), None, "and forgotten");
        assert_eq!(acknowledge(&[32, 64]), None, "one of them is not known");
        assert_eq!(acknowledge(&[32]), None);

        add(None, &[1, 2, 4]);
        assert_eq!(acknowledge(&[1, 4]), None, "they are not consecutive");
        add(None, &[1, 2]);
        add(Some(8), &[16]);
        assert_eq!(acknowledge(&[2, 16]), None, "there may be a gap between them");
        add(None, &[1, 2]);
        sizes.forget(&project, &user);
        assert_eq!(acknowledge(&[1]), None);
        assert!(sizes.lock().runs.is_empty() && sizes.lock().messages == 0);
    }

    #[test]
    fn sizes_are_known_up_to_the_bound() {
        let (sizes, project) = (MessageSizes::default(), ProjectId::new("p").unwrap());
        for user in ["7", "8"] {
            let messages = (0..KNOWN_MAX / 2 + 1).map(|n| (MessageNumber(n as u64), 1));
            sizes.add(&project, &UserId::new(user).unwrap(), None, messages);
        }
        assert_eq!(sizes.acknowledge(&project, &UserId::new("7").unwrap(), &numbers(&[0, 1])), Some(2));
        assert_eq!(sizes.acknowledge(&project, &UserId::new("8").unwrap(), &numbers(&[0, 1])), None);
    }
}
