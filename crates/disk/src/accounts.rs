//! Which messages wait for whom, and how large they are, so that no bound costs a look at the disk.

use std::collections::{HashMap, VecDeque};

use switchboard_backplane::InboxLimits;
use switchboard_event::{MessageNumber, ProjectId, UserId};

/// What a number holds besides the time: this many bits, for messages in one millisecond.
const NUMBER_BITS: u32 = 20;

/// The least number of a message that was put at a time.
pub(crate) fn first_number_at(ms: u64) -> MessageNumber {
    MessageNumber(ms << NUMBER_BITS)
}

/// All projects.
#[derive(Default)]
pub(crate) struct Accounts {
    projects: HashMap<ProjectId, Account>,
    last: u64,
}

#[derive(Default)]
struct Account {
    messages: u64,
    bytes: u64,
    users: HashMap<UserId, Mail>,
}

/// What waits for one user, in order.
#[derive(Default)]
struct Mail {
    messages: VecDeque<(MessageNumber, u32)>,
    bytes: u64,
}

/// What a message finds in an inbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room, after these have given way.
    Yes(Vec<MessageNumber>),
    /// The project is full, or the message alone is too large.
    No,
}

impl Accounts {
    /// Notes what was found in the file. In order, for each user.
    pub(crate) fn find(&mut self, project: &ProjectId, user: &UserId, number: MessageNumber, len: u32) {
        self.last = self.last.max(number.0);
        self.projects.entry(project.clone()).or_default().add(user, number, len);
    }

    /// The number of the next message: greater than all before, and it tells the time.
    pub(crate) fn next_number(&mut self, now_ms: u64) -> MessageNumber {
        self.last = (self.last + 1).max(first_number_at(now_ms).0);
        MessageNumber(self.last)
    }

    /// Makes room in an inbox and notes the message.
    pub(crate) fn put(
        &mut self,
        limits: &InboxLimits,
        project: &ProjectId,
        user: &UserId,
        number: MessageNumber,
        len: u32,
    ) -> Room {
        if u64::from(len) > limits.bytes_max || limits.messages_max == 0 {
            return Room::No;
        }
        let account = self.projects.entry(project.clone()).or_default();
        let mail = account.users.entry(user.clone()).or_default();
        let (count, freed) = mail.in_the_way(limits, len);
        let messages = account.messages - count as u64 + 1;
        let bytes = account.bytes - freed + u64::from(len);
        if messages > limits.project_messages_max || bytes > limits.project_bytes_max {
            account.leave_if_empty(user);
            return Room::No;
        }
        let displaced = mail.messages.drain(..count).map(|(number, _)| number).collect();
        mail.messages.push_back((number, len));
        mail.bytes = mail.bytes - freed + u64::from(len);
        (account.messages, account.bytes) = (messages, bytes);
        Room::Yes(displaced)
    }

    /// Forgets messages, and says in order which of them were there.
    pub(crate) fn remove(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
    ) -> Vec<MessageNumber> {
        let Some(account) = self.projects.get_mut(project) else { return Vec::new() };
        let Some(mail) = account.users.get_mut(user) else { return Vec::new() };
        let bytes = mail.bytes;
        let mut removed: Vec<_> = numbers.iter().copied().filter(|number| mail.remove(*number)).collect();
        removed.sort_unstable();
        account.messages -= removed.len() as u64;
        account.bytes -= bytes - mail.bytes;
        account.leave_if_empty(user);
        removed
    }

    /// Forgets all of a user, and says in order what there was.
    pub(crate) fn clear(&mut self, project: &ProjectId, user: &UserId) -> Vec<MessageNumber> {
        let Some(account) = self.projects.get_mut(project) else { return Vec::new() };
        let Some(mail) = account.users.remove(user) else { return Vec::new() };
        account.messages -= mail.messages.len() as u64;
        account.bytes -= mail.bytes;
        mail.messages.into_iter().map(|(number, _)| number).collect()
    }

    /// Whether anything is older than a time.
    pub(crate) fn has_older(&self, before_ms: u64) -> bool {
        let end = first_number_at(before_ms);
        let mails = self.projects.values().flat_map(|account| account.users.values());
        mails.filter_map(|mail| mail.messages.front()).any(|(number, _)| *number < end)
    }

    /// Forgets what is older than a time, and says in order whose that was.
    pub(crate) fn expire(&mut self, before_ms: u64) -> Vec<(ProjectId, UserId, Vec<MessageNumber>)> {
        let end = first_number_at(before_ms);
        let mut expired = Vec::new();
        for (project, account) in &self.projects {
            for (user, mail) in &account.users {
                let old = mail.messages.iter().map(|(number, _)| *number).take_while(|number| *number < end);
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

    /// Whether nothing waits for a user.
    pub(crate) fn is_empty(&self, project: &ProjectId, user: &UserId) -> bool {
        self.projects.get(project).is_none_or(|account| !account.users.contains_key(user))
    }

    /// How many messages wait.
    pub(crate) fn count(&self) -> u64 {
        self.projects.values().map(|account| account.messages).sum()
    }
}

impl Mail {
    /// How many of the oldest have to give way for one more, and how large these are.
    fn in_the_way(&self, limits: &InboxLimits, len: u32) -> (usize, u64) {
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

    /// Forgets a message. False if it is not there.
    fn remove(&mut self, number: MessageNumber) -> bool {
        let Ok(place) = self.messages.binary_search_by_key(&number, |(number, _)| *number) else {
            return false;
        };
        let (_, len) = self.messages.remove(place).expect("it was just found there");
        self.bytes -= u64::from(len);
        true
    }
}

impl Account {
    fn add(&mut self, user: &UserId, number: MessageNumber, len: u32) {
        self.messages += 1;
        self.bytes += u64::from(len);
        let mail = self.users.entry(user.clone()).or_default();
        mail.bytes += u64::from(len);
        mail.messages.push_back((number, len));
    }

    /// Has no place for a user for whom nothing waits.
    fn leave_if_empty(&mut self, user: &UserId) {
        if self.users.get(user).is_some_and(|mail| mail.messages.is_empty()) {
            self.users.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::Name;

    use super::*;

    const LIMITS: InboxLimits = InboxLimits {
        messages_max: 3,
        bytes_max: 100,
        age_max_ms: 1000,
        project_messages_max: 4,
        project_bytes_max: 1000,
    };

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn put(accounts: &mut Accounts, user: &str, number: u64, len: u32) -> Room {
        accounts.put(&LIMITS, &name("p"), &name(user), MessageNumber(number), len)
    }

    #[test]
    fn the_oldest_of_a_user_give_way_and_a_full_project_takes_nothing() {
        let mut accounts = Accounts::default();
        for number in 1..=3 {
            assert_eq!(put(&mut accounts, "7", number, 30), Room::Yes(vec![]));
        }
        assert_eq!(put(&mut accounts, "7", 4, 30), Room::Yes(vec![MessageNumber(1)]), "by their number");
        let two = Room::Yes(vec![MessageNumber(2), MessageNumber(3)]);
        assert_eq!(put(&mut accounts, "7", 5, 60), two, "by their size");
        assert_eq!(put(&mut accounts, "7", 6, 101), Room::No, "larger than an inbox");
        assert_eq!(put(&mut accounts, "8", 7, 1), Room::Yes(vec![]));
        assert_eq!(put(&mut accounts, "9", 8, 1), Room::Yes(vec![]));
        assert_eq!(put(&mut accounts, "9", 9, 1), Room::No, "the project is full");
        let seven = [MessageNumber(7)];
        assert_eq!(accounts.remove(&name("p"), &name("8"), &seven), seven);
        assert_eq!(accounts.remove(&name("p"), &name("8"), &seven), []);
        assert_eq!(put(&mut accounts, "9", 10, 1), Room::Yes(vec![]));
    }

    #[test]
    fn what_is_old_expires_and_numbers_only_grow() {
        let mut accounts = Accounts::default();
        let old = accounts.next_number(1000);
        let more = accounts.next_number(999);
        assert!(more > old, "though the clock went back");
        let new = accounts.next_number(2000);
        for number in [old, more, new] {
            put(&mut accounts, "7", number.0, 1);
        }
        assert!(!accounts.has_older(1000) && accounts.has_older(1001));
        assert_eq!(accounts.expire(2000), [(name("p"), name("7"), vec![old, more])]);
        assert!(!accounts.has_older(2000));
        assert_eq!(accounts.clear(&name("p"), &name("7")), [new]);
        assert!(accounts.is_empty(&name("p"), &name("7")));
        assert_eq!(accounts.count(), 0);
    }
}
