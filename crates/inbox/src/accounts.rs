//! Which messages wait for whom, and how large they are, so that no bound costs a look at the disk.

use std::collections::{HashMap, VecDeque};

use switchboard_event::{MessageNumber, ProjectId, UserId};
use switchboard_hub::InboxLimits;

/// What a number holds besides the time: this many messages in one millisecond.
const NUMBERS_PER_MS: u32 = 20;

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
        self.last = (self.last + 1).max(now_ms << NUMBERS_PER_MS);
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
        let (count, freed) = account.users.get(user).map_or((0, 0), |mail| mail.in_the_way(limits, len));
        let messages = account.messages - count + 1;
        let bytes = account.bytes - freed + u64::from(len);
        if messages > limits.project_messages_max || bytes > limits.project_bytes_max {
            return Room::No;
        }
        let displaced = (0..count).filter_map(|_| account.remove_oldest(user)).collect();
        account.add(user, number, len);
        Room::Yes(displaced)
    }

    /// Forgets a message. False if it is not there.
    pub(crate) fn remove(&mut self, project: &ProjectId, user: &UserId, number: MessageNumber) -> bool {
        let Some(account) = self.projects.get_mut(project) else { return false };
        let Some(mail) = account.users.get_mut(user) else { return false };
        let Ok(place) = mail.messages.binary_search_by_key(&number, |(number, _)| *number) else {
            return false;
        };
        let (_, len) = mail.messages.remove(place).expect("it was just found there");
        mail.bytes -= u64::from(len);
        account.took(user, len);
        true
    }

    /// Forgets all of a user, and says what there was.
    pub(crate) fn clear(&mut self, project: &ProjectId, user: &UserId) -> Vec<MessageNumber> {
        let mut cleared = Vec::new();
        if let Some(account) = self.projects.get_mut(project) {
            while let Some(number) = account.remove_oldest(user) {
                cleared.push(number);
            }
        }
        cleared
    }

    /// Forgets what is older than a time, and says what that was.
    pub(crate) fn expire(&mut self, before_ms: u64) -> Vec<(ProjectId, UserId, MessageNumber)> {
        let end = MessageNumber(before_ms << NUMBERS_PER_MS);
        let mut expired = Vec::new();
        for (project, account) in &mut self.projects {
            let is_old = |mail: &Mail| mail.messages.front().is_some_and(|(number, _)| *number < end);
            let users: Vec<UserId> =
                account.users.iter().filter(|(_, mail)| is_old(mail)).map(|(user, _)| user.clone()).collect();
            for user in users {
                while account.users.get(&user).is_some_and(is_old) {
                    expired.extend(
                        account.remove_oldest(&user).map(|number| (project.clone(), user.clone(), number)),
                    );
                }
            }
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
    fn in_the_way(&self, limits: &InboxLimits, len: u32) -> (u64, u64) {
        let (mut count, mut freed) = (0, 0);
        let left = self.messages.len() as u64;
        let fits = |count, freed| {
            left - count < limits.messages_max && self.bytes - freed + u64::from(len) <= limits.bytes_max
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
}

impl Account {
    fn add(&mut self, user: &UserId, number: MessageNumber, len: u32) {
        self.messages += 1;
        self.bytes += u64::from(len);
        let mail = self.users.entry(user.clone()).or_default();
        mail.bytes += u64::from(len);
        mail.messages.push_back((number, len));
    }

    fn remove_oldest(&mut self, user: &UserId) -> Option<MessageNumber> {
        let mail = self.users.get_mut(user)?;
        let (number, len) = mail.messages.pop_front()?;
        mail.bytes -= u64::from(len);
        self.took(user, len);
        Some(number)
    }

    /// Counts what has been taken out of an inbox.
    fn took(&mut self, user: &UserId, len: u32) {
        self.messages -= 1;
        self.bytes -= u64::from(len);
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
        assert!(accounts.remove(&name("p"), &name("8"), MessageNumber(7)));
        assert!(!accounts.remove(&name("p"), &name("8"), MessageNumber(7)));
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
        let expired: Vec<_> = accounts.expire(2000).into_iter().map(|(_, _, number)| number).collect();
        assert_eq!(expired, [old, more]);
        assert_eq!(accounts.clear(&name("p"), &name("7")), [new]);
        assert!(accounts.is_empty(&name("p"), &name("7")));
        assert_eq!(accounts.count(), 0);
    }
}
