//! The inbox file: one table with an entry per message and user, and small tables beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    Table, TableDefinition, TableError, WriteTransaction,
};
use switchboard_backplane::StoredMessage;
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};

use crate::error::{OpenError, panic_message};

/// Project, user and message number. The value is the encoded event.
type Key = (&'static str, &'static str, u64);
const MESSAGES: TableDefinition<'_, Key, &'static [u8]> = TableDefinition::new("messages");

/// Entries of [`MESSAGES`] that could not be decoded, kept for people to look at.
const UNREADABLE: TableDefinition<'_, Key, &'static [u8]> = TableDefinition::new("unreadable");

/// Maximum number of entries of [`UNREADABLE`]. At the bound the first ones are removed.
const UNREADABLE_MAX: u64 = 10_000;

/// Bytes that a transaction writes to find out whether the file can be written again.
const PROBE: TableDefinition<'_, (), &'static [u8]> = TableDefinition::new("probe");

/// The progress of a repair that the database reports only before it removes the newest transaction.
const ROLLBACK: f64 = 0.3;

/// An open inbox file.
pub(crate) struct InboxFile(Database);

/// The key of an entry whose project or user cannot be a name.
pub(crate) type InvalidKey = (String, String, MessageNumber);

/// Some messages of a user, in order.
#[derive(Debug, Default)]
pub(crate) struct FilePage {
    pub(crate) messages: Vec<StoredMessage>,
    /// The numbers of entries between them that cannot be decoded.
    pub(crate) unreadable: Vec<MessageNumber>,
}

/// A write transaction.
pub(crate) struct Transaction<'t> {
    transaction: &'t WriteTransaction,
    messages: Table<'t, Key, &'static [u8]>,
}

impl InboxFile {
    /// Opens the file at the start of the process, or creates it. Verifies the checksums of the whole file.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let found = std::fs::metadata(path);
        let mut builder = Database::builder();
        let shown = path.display().to_string();
        builder.set_repair_callback(move |repair| {
            if repair.progress() == ROLLBACK {
                tracing::warn!(
                    path = shown,
                    "newest transaction of the inbox file is incomplete and is removed; \
                     unless the machine or the process crashed, messages are lost"
                );
            }
        });
        let file = open_checked(path, |builder| builder.create(path), builder)?;
        let path = path.display().to_string();
        match found {
            Ok(found) if found.len() == 0 => {
                tracing::warn!(path, "inbox file was empty; if messages were stored in it, they are lost");
            }
            Ok(_) => {}
            Err(_) => tracing::info!(path, "inbox file did not exist; it was created"),
        }
        Ok(file)
    }

    /// Opens the file again after a failure. It must exist: a new file in place of one whose disk was detached would
    /// hide the stored messages.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, OpenError> {
        open_checked(path, |builder| builder.open(path), Database::builder())
    }

    pub(crate) fn in_memory() -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        InboxFile(database.expect("memory can be written"))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0
    }

    /// Runs `work` in one transaction, which is durable when this returns.
    pub(crate) fn write(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let transaction: WriteTransaction = self.0.begin_write()?;
        let messages = transaction.open_table(MESSAGES)?;
        work(&mut Transaction { transaction: &transaction, messages })?;
        Ok(transaction.commit()?)
    }

    /// Seals the file: if its newest transaction is damaged later, a start refuses the file. In a file without a seal such damage
    /// looks like a transaction that a crash interrupted, which a start removes. Costs two waits for the disk.
    pub(crate) fn seal(&self) -> Result<(), redb::Error> {
        let mut transaction: WriteTransaction = self.0.begin_write()?;
        transaction.set_two_phase_commit(true);
        Ok(transaction.commit()?)
    }

    /// Calls `visit` with the key and the size of each message, in order. Returns the keys that are not names.
    pub(crate) fn for_each(
        &self,
        mut visit: impl FnMut(&ProjectId, &UserId, MessageNumber, u32),
    ) -> Result<Vec<InvalidKey>, redb::Error> {
        let mut invalid = Vec::new();
        let Some(table) = self.messages()? else { return Ok(invalid) };
        for entry in table.iter()? {
            let (key, value) = entry?;
            let (project, user, number) = key.value();
            match (ProjectId::new(project), UserId::new(user)) {
                (Ok(project), Ok(user)) => {
                    visit(&project, &user, MessageNumber(number), Event::size_of(value.value()));
                }
                _ => invalid.push((project.into(), user.into(), MessageNumber(number))),
            }
        }
        Ok(invalid)
    }

    /// The oldest messages of a user from a number on, at most `limit`. Unreadable entries do not count.
    pub(crate) fn page(
        &self,
        project: &ProjectId,
        user: &UserId,
        from: MessageNumber,
        limit: usize,
    ) -> Result<FilePage, redb::Error> {
        let mut page = FilePage::default();
        let Some(table) = self.messages()? else { return Ok(page) };
        let mut range = table
            .range::<(&str, &str, u64)>((&**project, &**user, from.0)..=(&**project, &**user, u64::MAX))?;
        while page.messages.len() < limit
            && let Some(entry) = range.next()
        {
            let (key, value) = entry?;
            let number = MessageNumber(key.value().2);
            match Event::read(Bytes::copy_from_slice(value.value())) {
                Ok(event) => page.messages.push(StoredMessage { number, event }),
                Err(_) => page.unreadable.push(number),
            }
        }
        Ok(page)
    }

    /// The messages, for reading; `None` before the first write.
    fn messages(&self) -> Result<Option<ReadOnlyTable<Key, &'static [u8]>>, redb::Error> {
        match self.0.begin_read()?.open_table(MESSAGES) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Opens a file and verifies its checksums. A changed byte would otherwise be delivered, or hide a message.
pub(crate) fn open_checked(
    path: &Path,
    open: impl FnOnce(&Builder) -> Result<Database, DatabaseError>,
    mut builder: Builder,
) -> Result<InboxFile, OpenError> {
    builder.set_check_integrity_on_open(true);
    // The database panics on some damaged files.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let file = InboxFile(open(&builder)?);
        // Fails if another program has written the table.
        file.messages()?;
        Ok::<_, redb::Error>(file)
    }));
    let opened = opened.unwrap_or_else(|panic| Err(redb::Error::Corrupted(panic_message(&*panic))));
    opened.map_err(|cause| OpenError::new(path, cause))
}

impl Transaction<'_> {
    pub(crate) fn insert(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        number: MessageNumber,
        message: &[u8],
    ) -> Result<(), redb::Error> {
        self.messages.insert((&**project, &**user, number.0), message)?;
        Ok(())
    }

    /// Removes messages of a user. The numbers must be sorted.
    pub(crate) fn remove(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
    ) -> Result<(), redb::Error> {
        let key = |number: &MessageNumber| (&**project, &**user, number.0);
        match numbers {
            [] => {}
            [number] => drop(self.messages.remove(key(number))?),
            // Mostly neighbours, so one pass over the range costs less than a lookup for each.
            [first, .., last] => self.messages.retain_in(key(first)..=key(last), |(_, _, number), _| {
                numbers.binary_search(&MessageNumber(number)).is_err()
            })?,
        }
        Ok(())
    }

    /// Moves an entry that cannot be decoded to the table of those.
    pub(crate) fn set_aside(
        &mut self,
        project: &str,
        user: &str,
        number: MessageNumber,
    ) -> Result<(), redb::Error> {
        let key = (project, user, number.0);
        let Some(value) = self.messages.remove(key)?.map(|value| value.value().to_vec()) else {
            return Ok(());
        };
        let mut unreadable = self.transaction.open_table(UNREADABLE)?;
        unreadable.insert(key, &*value)?;
        if unreadable.len()? > UNREADABLE_MAX {
            unreadable.pop_first()?;
        }
        Ok(())
    }

    /// Writes `len` bytes that have no meaning, in place of those of the last call.
    pub(crate) fn write_probe(&self, len: usize) -> Result<(), redb::Error> {
        self.transaction.open_table(PROBE)?.insert((), &*vec![0; len])?;
        Ok(())
    }

    pub(crate) fn remove_probe(&self) -> Result<(), redb::Error> {
        self.transaction.delete_table(PROBE)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::{Scratch, name};

    use super::*;

    const USERS: [&str; 3] = ["ann", "bob", "eve"];

    /// Stores some messages and removes some of them, one transaction each.
    fn fill(file: &InboxFile) {
        for number in 1..=24 {
            let user: UserId = name(USERS[number as usize % 3]);
            let message = vec![number as u8; 40 + number as usize];
            file.write(|transaction| {
                transaction.insert(&name("p"), &user, MessageNumber(number), &message)?;
                let earlier = MessageNumber(number.saturating_sub(9));
                if number % 4 == 0 { transaction.remove(&name("p"), &user, &[earlier]) } else { Ok(()) }
            })
            .unwrap();
        }
    }

    /// All entries: user, number and value.
    fn entries(file: &InboxFile) -> Vec<(String, u64, Vec<u8>)> {
        let table = file.messages().unwrap().expect("it has been written");
        let entry = |entry: (redb::AccessGuard<'_, Key>, redb::AccessGuard<'_, &'static [u8]>)| {
            let (_, user, number) = entry.0.value();
            (user.to_owned(), number, entry.1.value().to_vec())
        };
        table.iter().unwrap().map(|found| entry(found.unwrap())).collect()
    }

    /// Changes single bytes of a file, and asserts that each change is refused or has no effect.
    fn assert_changes_are_noticed(path: &str, expected: &[(String, u64, Vec<u8>)]) {
        let original = std::fs::read(path).unwrap();
        let used: Vec<usize> = (0..original.len()).filter(|at| original[*at] != 0).collect();
        let mut refused = 0;
        for (n, at) in used.iter().step_by(used.len() / 60).enumerate() {
            let mut changed = original.clone();
            changed[*at] ^= 1 << (n % 8);
            std::fs::write(path, changed).unwrap();
            match InboxFile::open(path.as_ref()) {
                Ok(file) => assert_eq!(entries(&file), expected, "byte {at}"),
                Err(OpenError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("byte {at}: {error:?}"),
            }
        }
        assert!(refused > 3, "{refused} of the changes are of messages, or of what leads to them");
        std::fs::write(path, original).unwrap();
        assert_eq!(entries(&InboxFile::open(path.as_ref()).unwrap()), expected);
    }

    #[test]
    fn a_changed_byte_has_no_effect_or_prevents_the_opening_after_a_stop_and_after_a_crash() {
        let scratch = Scratch::new();
        let (stopped, crashed) = (scratch.file("stopped"), scratch.file("crashed"));
        let file = InboxFile::open(stopped.as_ref()).unwrap();
        fill(&file);
        let expected = entries(&file);
        file.seal().unwrap();
        std::fs::copy(&stopped, &crashed).unwrap();
        drop(file);
        assert_changes_are_noticed(&stopped, &expected);
        assert_changes_are_noticed(&crashed, &expected);
    }

    #[test]
    fn files_of_other_kinds_are_refused_and_not_changed() {
        let scratch = Scratch::new();
        let path = scratch.file("inbox");
        let file = InboxFile::open(path.as_ref()).unwrap();
        fill(&file);
        drop(file);
        let inbox = std::fs::read(&path).unwrap();
        for contents in [b"no inbox".to_vec(), vec![0; 4096], inbox[..5000].to_vec(), inbox[1..].to_vec()] {
            std::fs::write(&path, &contents).unwrap();
            let refused = InboxFile::open(path.as_ref());
            assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{:?}", refused.err());
            assert_eq!(std::fs::read(&path).unwrap(), contents);
        }
        std::fs::remove_file(&path).unwrap();
        let other = Database::create(&path).unwrap();
        let transaction = other.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, u64>::new("messages")).unwrap();
        transaction.commit().unwrap();
        drop(other);
        assert!(matches!(InboxFile::open(path.as_ref()), Err(OpenError::Damaged { .. })));
        let directory = scratch.file("");
        assert!(matches!(InboxFile::open(directory.as_ref()), Err(OpenError::Unusable { .. })));
    }

    #[test]
    fn a_file_is_opened_by_one_process_and_again_only_if_it_exists() {
        let scratch = Scratch::new();
        let path = scratch.file("inbox");
        let missing = InboxFile::open_existing(path.as_ref());
        assert!(matches!(missing, Err(OpenError::Unusable { .. })), "a missing file is not created");
        std::fs::write(&path, "").unwrap();
        assert!(InboxFile::open_existing(path.as_ref()).is_err(), "an empty file is not filled");
        let file = InboxFile::open(path.as_ref()).unwrap();
        assert!(matches!(InboxFile::open(path.as_ref()), Err(OpenError::InUse(_))));
        drop(file);
        InboxFile::open_existing(path.as_ref()).unwrap();
    }

    #[test]
    fn unreadable_entries_are_moved_to_a_table_of_their_own() {
        let file = InboxFile::in_memory();
        fill(&file);
        let before = entries(&file);
        let (user, number, value) = before[3].clone();
        file.write(|transaction| transaction.set_aside("p", &user, MessageNumber(number))).unwrap();
        let after = entries(&file);
        assert_eq!((after.len(), after.contains(&before[3])), (before.len() - 1, false));
        let unreadable = file.0.begin_read().unwrap().open_table(UNREADABLE).unwrap();
        let moved = unreadable.get(("p", &*user, number)).unwrap().expect("it was moved");
        assert_eq!(moved.value(), value);
        file.write(|transaction| transaction.set_aside("p", "nobody", MessageNumber(1))).unwrap();
    }
}
