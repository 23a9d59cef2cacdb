//! The file: one table, a message for a user in each of its entries.

use std::path::Path;

use bytes::Bytes;
use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};
use switchboard_backplane::StoredMessage;
use switchboard_event::{Event, MessageNumber, Name, ProjectId, UserId};

use crate::OpenError;

/// Project, user and number; the event as its bytes.
type Key = (&'static str, &'static str, u64);
const MESSAGES: TableDefinition<'_, Key, &'static [u8]> = TableDefinition::new("messages");

/// Where messages stand.
pub(crate) struct Disk(Database);

/// A part of what waits for a user, in order.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) messages: Vec<StoredMessage>,
    /// The numbers of what stands between them and is no event.
    pub(crate) unreadable: Vec<MessageNumber>,
}

/// A transaction that is being put together.
pub(crate) struct Pages<'t>(Table<'t, Key, &'static [u8]>);

impl Disk {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.into()),
            other => OpenError::Unusable { path: path.into(), cause: other.into() },
        })?;
        let disk = Disk(database);
        // So that there is a table to read.
        disk.write(|_| Ok(())).map_err(|cause| OpenError::Unusable { path: path.into(), cause })?;
        Ok(disk)
    }

    pub(crate) fn in_memory() -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        let disk = Disk(database.expect("memory can be written"));
        disk.write(|_| Ok(())).expect("memory can be written");
        disk
    }

    /// One transaction, durable when this returns.
    pub(crate) fn write(
        &self,
        work: impl FnOnce(&mut Pages<'_>) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let transaction: WriteTransaction = self.0.begin_write()?;
        work(&mut Pages(transaction.open_table(MESSAGES)?))?;
        Ok(transaction.commit()?)
    }

    /// Calls `visit` for each message, with its size.
    pub(crate) fn for_each(
        &self,
        mut visit: impl FnMut(&ProjectId, &UserId, MessageNumber, u32),
    ) -> Result<(), redb::Error> {
        let table = self.0.begin_read()?.open_table(MESSAGES)?;
        for entry in table.iter()? {
            let (key, value) = entry?;
            let (project, user, number) = key.value();
            if let (Ok(project), Ok(user)) = (Name::new(project), Name::new(user)) {
                visit(&project, &user, MessageNumber(number), Event::size_of(value.value()));
            }
        }
        Ok(())
    }

    /// The oldest `most` messages of a user from a number on. What cannot be read hides none.
    pub(crate) fn page(
        &self,
        project: &ProjectId,
        user: &UserId,
        from: MessageNumber,
        most: usize,
    ) -> Result<Found, redb::Error> {
        let table = self.0.begin_read()?.open_table(MESSAGES)?;
        let mut range = table
            .range::<(&str, &str, u64)>((&**project, &**user, from.0)..=(&**project, &**user, u64::MAX))?;
        let mut found = Found::default();
        while found.messages.len() < most
            && let Some(entry) = range.next()
        {
            let (key, value) = entry?;
            let number = MessageNumber(key.value().2);
            match Event::read(Bytes::copy_from_slice(value.value())) {
                Ok(event) => found.messages.push(StoredMessage { number, event }),
                Err(_) => found.unreadable.push(number),
            }
        }
        Ok(found)
    }
}

impl Pages<'_> {
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

    /// Removes messages of a user, given in order.
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
            // They are neighbours, mostly: one walk through them costs less than a search for each.
            [first, .., last] => self.0.retain_in(key(first)..=key(last), |(_, _, number), _| {
                numbers.binary_search(&MessageNumber(number)).is_err()
            })?,
        }
        Ok(())
    }
}
