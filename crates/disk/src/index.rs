//! The numbers and sizes of all stored messages, so that limits are checked without disk access.

use std::collections::{HashMap, VecDeque};

use switchboard_backplane::InboxLimits;
use switchboard_event::{MessageNumber, ProjectId, UserId};

/// The bits of a message number that distinguish messages of the same millisecond. The others are the time.
const SEQUENCE_BITS: u32 = 20;

/// The lowest number of a message that is put at `ms` or later.
pub(crate) fn first_number_at(ms: u64) -> MessageNumber {
    MessageNumber(ms << SEQUENCE_BITS)
}

#[derive(Default)]
pub(crate) struct Index {
    projects: HashMap<ProjectId, ProjectIndex>,
    last_number: u64,
}

#[derive(Default)]
struct ProjectIndex {
    messages: u64,
    bytes: u64,
    users: HashMap<UserId, UserIndex>,
}

#[derive(Default)]
struct UserIndex {
    /// Numbers and sizes, in order.
    messages: VecDeque<(MessageNumber, u32)>,
    bytes: u64,
}

/// Whether a message fits into an inbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The message was added after these were evicted.
    Accepted(Vec<MessageNumber>),
    /// The project is full, or the message exceeds the size limit of an inbox.
    Rejected,
}

impl Index {
    /// Removes all messages. Numbers continue to increase: sockets remember those that they have received.
    pub(crate) fn reset(&mut self) {
        self.projects.clear();
    }

    /// Adds a message of the file. The messages of each user must be added in order.
    pub(crate) fn load(&mut self, project: &ProjectId, user: &UserId, number: MessageNumber, len: u32) {
        self.last_number = self.last_number.max(number.0);
        self.projects.entry(project.clone()).or_default().add(user, number, len);
    }

    /// The number of the next message. It is greater than all previous ones and contains the time.
    pub(crate) fn next_number(&mut self, now_ms: u64) -> MessageNumber {
        self.last_number = (self.last_number + 1).max(first_number_at(now_ms).0);
        MessageNumber(self.last_number)
    }

    /// Adds a message to an inbox and evicts the oldest ones if a limit requires it.
    pub(crate) fn put(
        &mut self,
        limits: &InboxLimits,
        project: &ProjectId,
        user: &UserId,
        number: MessageNumber,
        len: u32,
    ) -> Admission {
        if u64::from(len) > limits.bytes_max || limits.messages_max == 0 {
            return Admission::Rejected;
        }
        let project = self.projects.entry(project.clone()).or_default();
        let inbox = project.users.entry(user.clone()).or_default();
        let (count, freed) = inbox.excess(limits, len);
        let messages = project.messages - count as u64 + 1;
        let bytes = project.bytes - freed + u64::from(len);
        if messages > limits.project_messages_max || bytes > limits.project_bytes_max {
            project.remove_if_empty(user);
            return Admission::Rejected;
        }
        let evicted = inbox.messages.drain(..count).map(|(number, _)| number).collect();
        inbox.messages.push_back((number, len));
        inbox.bytes = inbox.bytes - freed + u64::from(len);
        (project.messages, project.bytes) = (messages, bytes);
        Admission::Accepted(evicted)
    }

    /// Removes messages. Returns those that were stored, sorted.
    pub(crate) fn remove(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
    ) -> Vec<MessageNumber> {
        let Some(project) = self.projects.get_mut(project) else { return Vec::new() };
        let Some(inbox) = project.users.get_mut(user) else { return Vec::new() };
        let bytes = inbox.bytes;
        let mut removed: Vec<_> = numbers.iter().copied().filter(|number| inbox.remove(*number)).collect();
        removed.sort_unstable();
        project.messages -= removed.len() as u64;
        project.bytes -= bytes - inbox.bytes;
        project.remove_if_empty(user);
        removed
    }

    /// Removes all messages of a user. Returns their numbers, sorted.
    pub(crate) fn clear(&mut self, project: &ProjectId, user: &UserId) -> Vec<MessageNumber> {
        let Some(project) = self.projects.get_mut(project) else { return Vec::new() };
        let Some(inbox) = project.users.remove(user) else { return Vec::new() };
        project.messages -= inbox.messages.len() as u64;
        project.bytes -= inbox.bytes;
        inbox.messages.into_iter().map(|(number, _)| number).collect()
    }

    /// Whether any message was put before a time.
    pub(crate) fn has_older(&self, before_ms: u64) -> bool {
        let end = first_number_at(before_ms);
        let inboxes = self.projects.values().flat_map(|project| project.users.values());
        inboxes.filter_map(|inbox| inbox.messages.front()).any(|(number, _)| *number < end)
    }

    /// Removes the messages that were put before a time. Returns them by user, sorted.
    pub(crate) fn expire(&mut self, before_ms: u64) -> Vec<(ProjectId, UserId, Vec<MessageNumber>)> {
        let end = first_number_at(before_ms);
        let mut expired = Vec::new();
        for (project, stored) in &self.projects {
            for (user, inbox) in &stored.users {
                let old = inbox.messages.iter().map(|(number, _)| *number).take_while(|number| *number < end);
                let old: Vec<MessageNumber> = old.collect();
                if !old.is_empty() {
                    expired.push((project.clone(), user.clone(), old));
                }
            }
        }
        for (project, user, old) in &expired {
            self.remove(project, user, old);
        }
        expired
    }

    /// Whether a user has no messages.
    pub(crate) fn is_empty(&self, project: &ProjectId, user: &UserId) -> bool {
        self.projects.get(project).is_none_or(|project| !project.users.contains_key(user))
    }

    /// The number of stored messages.
    pub(crate) fn count(&self) -> u64 {
        self.projects.values().map(|project| project.messages).sum()
    }
}

impl UserIndex {
    /// The number and total size of the oldest messages to evict before one of `len` bytes is added.
    fn excess(&self, limits: &InboxLimits, len: u32) -> (usize, u64) {
        let (mut count, mut freed) = (0, 0);
        let fits = |count, freed| {
            ((self.messages.len() - count) as u64) < limits.messages_max
                && self.bytes - freed + u64::from(len) <= limits.bytes_max
        };
        let mut oldest = self.messages.iter();
        while !fits(count, freed)
            && let Some((_, len)) = oldest.next()
        {
            count += 1;
            freed += u64::from(*len);
        }
        (count, freed)
    }

    /// Removes a message. Returns false if it is not stored.
    fn remove(&mut self, number: MessageNumber) -> bool {
        let Ok(position) = self.messages.binary_search_by_key(&number, |(number, _)| *number) else {
            return false;
        };
        let (_, len) = self.messages.remove(position).expect("the position was just found");
        self.bytes -= u64::from(len);
        true
    }
}

impl ProjectIndex {
    fn add(&mut self, user: &UserId, number: MessageNumber, len: u32) {
        self.messages += 1;
        self.bytes += u64::from(len);
        let inbox = self.users.entry(user.clone()).or_default();
        inbox.bytes += u64::from(len);
        inbox.messages.push_back((number, len));
    }

    fn remove_if_empty(&mut self, user: &UserId) {
        if self.users.get(user).is_some_and(|inbox| inbox.messages.is_empty()) {
            self.users.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::name;

    use super::*;

    const LIMITS: InboxLimits = InboxLimits {
        messages_max: 3,
        bytes_max: 100,
        age_max_ms: 1000,
        project_messages_max: 4,
        project_bytes_max: 1000,
    };

    fn put(index: &mut Index, user: &str, number: u64, len: u32) -> Admission {
        index.put(&LIMITS, &name("p"), &name(user), MessageNumber(number), len)
    }

    #[test]
    fn a_full_inbox_evicts_its_oldest_messages_and_a_full_project_rejects_new_ones() {
        let mut index = Index::default();
        for number in 1..=3 {
            assert_eq!(put(&mut index, "7", number, 30), Admission::Accepted(vec![]));
        }
        assert_eq!(put(&mut index, "7", 4, 30), Admission::Accepted(vec![MessageNumber(1)]), "message limit");
        let two = Admission::Accepted(vec![MessageNumber(2), MessageNumber(3)]);
        assert_eq!(put(&mut index, "7", 5, 60), two, "byte limit");
        assert_eq!(put(&mut index, "7", 6, 101), Admission::Rejected, "larger than the byte limit");
        assert_eq!(put(&mut index, "8", 7, 1), Admission::Accepted(vec![]));
        assert_eq!(put(&mut index, "9", 8, 1), Admission::Accepted(vec![]));
        assert_eq!(put(&mut index, "9", 9, 1), Admission::Rejected, "the project is full");
        let seven = [MessageNumber(7)];
        assert_eq!(index.remove(&name("p"), &name("8"), &seven), seven);
        assert_eq!(index.remove(&name("p"), &name("8"), &seven), []);
        assert_eq!(put(&mut index, "9", 10, 1), Admission::Accepted(vec![]));
    }

    #[test]
    fn numbers_increase_after_a_reset() {
        let mut index = Index::default();
        let number = index.next_number(1000);
        put(&mut index, "7", number.0, 1);
        index.reset();
        assert!(index.count() == 0 && index.is_empty(&name("p"), &name("7")));
        assert!(index.next_number(999) > number, "although the clock was set back");
    }

    #[test]
    fn old_messages_expire_and_numbers_increase() {
        let mut index = Index::default();
        let old = index.next_number(1000);
        let more = index.next_number(999);
        assert!(more > old, "although the clock was set back");
        let new = index.next_number(2000);
        for number in [old, more, new] {
            put(&mut index, "7", number.0, 1);
        }
        assert!(!index.has_older(1000) && index.has_older(1001));
        assert_eq!(index.expire(2000), [(name("p"), name("7"), vec![old, more])]);
        assert!(!index.has_older(2000));
        assert_eq!(index.clear(&name("p"), &name("7")), [new]);
        assert!(index.is_empty(&name("p"), &name("7")));
        assert_eq!(index.count(), 0);
    }
}
