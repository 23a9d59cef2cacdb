//! The inbox file: one table with an entry per message and user.

use std::path::Path;

use bytes::Bytes;
use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};
use switchboard_backplane::StoredMessage;
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};

use crate::error::OpenError;

/// Project, user and message number. The value is the encoded event.
type Key = (&'static str, &'static str, u64);
const MESSAGES: TableDefinition<'_, Key, &'static [u8]> = TableDefinition::new("messages");

pub(crate) struct InboxFile(Database);

/// Some messages of a user, in order.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) messages: Vec<StoredMessage>,
    /// The numbers of entries between them that cannot be decoded.
    pub(crate) unreadable: Vec<MessageNumber>,
}

/// A write transaction.
pub(crate) struct Transaction<'t>(Table<'t, Key, &'static [u8]>);

impl InboxFile {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.into()),
            other => OpenError::Unusable { path: path.into(), cause: other.into() },
        })?;
        let file = InboxFile(database);
        // Creates the table, which reads expect.
        file.write(|_| Ok(())).map_err(|cause| OpenError::Unusable { path: path.into(), cause })?;
        Ok(file)
    }

    pub(crate) fn in_memory() -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        let file = InboxFile(database.expect("memory can be written"));
        file.write(|_| Ok(())).expect("memory can be written");
        file
    }

    /// Runs `work` in one transaction, which is durable when this returns.
    pub(crate) fn write(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let transaction: WriteTransaction = self.0.begin_write()?;
        work(&mut Transaction(transaction.open_table(MESSAGES)?))?;
        Ok(transaction.commit()?)
    }

    /// Calls `visit` with the key and the size of each message, in order.
    pub(crate) fn for_each(
        &self,
        mut visit: impl FnMut(&ProjectId, &UserId, MessageNumber, u32),
    ) -> Result<(), redb::Error> {
        let table = self.0.begin_read()?.open_table(MESSAGES)?;
        for entry in table.iter()? {
            let (key, value) = entry?;
            let (project, user, number) = key.value();
            if let (Ok(project), Ok(user)) = (ProjectId::new(project), UserId::new(user)) {
                visit(&project, &user, MessageNumber(number), Event::size_of(value.value()));
            }
        }
        Ok(())
    }

    /// The oldest messages of a user from a number on, at most `limit`. Unreadable entries do not count.
    pub(crate) fn page(
        &self,
        project: &ProjectId,
        user: &UserId,
        from: MessageNumber,
        limit: usize,
    ) -> Result<Page, redb::Error> {
        let table = self.0.begin_read()?.open_table(MESSAGES)?;
        let mut range = table
            .range::<(&str, &str, u64)>((&**project, &**user, from.0)..=(&**project, &**user, u64::MAX))?;
        let mut page = Page::default();
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
}

impl Transaction<'_> {
    pub(crate) fn insert(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        number: MessageNumber,
        message: &[u8],
    ) -> Result<(), redb::Error> {
        self.0.insert((&**project, &**user, number.0), message)?;
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
            [number] => drop(self.0.remove(key(number))?),
            // Mostly neighbours, so one pass over the range costs less than a lookup for each.
            [first, .., last] => self.0.retain_in(key(first)..=key(last), |(_, _, number), _| {
                numbers.binary_search(&MessageNumber(number)).is_err()
            })?,
        }
        Ok(())
    }
}
