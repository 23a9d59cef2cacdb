//! The revocation store of a node without Redis: a table in the inbox file.

use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError};
use switchboard_backplane::{BackplaneFuture, Revocation, RevocationStore};

use crate::error::JobError;
use crate::file::InboxFile;
use crate::inbox::DiskInbox;
use crate::writer::now_ms;

/// The key of a revocation, with the time before which its tokens were issued, and its end, in ms.
const REVOCATIONS: TableDefinition<'_, &'static str, (u64, u64)> = TableDefinition::new("revocations");

impl InboxFile {
    /// Stores revocations in one durable transaction, and removes those of expired tokens.
    fn put_revocations(&self, revocations: &[Revocation], now_ms: u64) -> Result<(), redb::Error> {
        let transaction = self.database().begin_write()?;
        {
            let mut table = transaction.open_table(REVOCATIONS)?;
            table.retain(|_, (_, until_ms)| until_ms > now_ms)?;
            for revocation in revocations {
                let key = revocation.key();
                let known = table.get(&*key)?.map(|known| known.value()).unwrap_or_default();
                let before_ms = revocation.issued_before_ms().max(known.0);
                table.insert(&*key, (before_ms, revocation.until_ms.max(known.1)))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn revocations(&self) -> Result<Vec<Revocation>, redb::Error> {
        let table = match self.database().begin_read()?.open_table(REVOCATIONS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut list = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            let (before_ms, until_ms) = value.value();
            list.extend(Revocation::read(key.value(), before_ms, until_ms));
        }
        Ok(list)
    }
}

impl RevocationStore for DiskInbox {
    fn location(&self) -> &'static str {
        "file"
    }

    fn save<'a>(&'a self, revocations: &'a [Revocation]) -> BackplaneFuture<'a, ()> {
        let revocations = revocations.to_vec();
        Box::pin(async move {
            if revocations.is_empty() {
                return Ok(());
            }
            let write = move |file: &InboxFile| file.put_revocations(&revocations, now_ms());
            Ok(self.use_file(write).await?.map_err(JobError::Write)?)
        })
    }

    fn load(&self) -> BackplaneFuture<'_, Vec<Revocation>> {
        Box::pin(async move { Ok(self.use_file(InboxFile::revocations).await?.map_err(JobError::Read)?) })
    }
}

impl DiskInbox {
    /// Uses the file on a thread that may wait for the disk. After a failure the writer opens the file again.
    async fn use_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&InboxFile) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<Result<T, Arc<crate::error::FileError>>, JobError> {
        let (file, generation) = (self.file().clone(), self.file().generation());
        let done =
            tokio::task::spawn_blocking(move || file.with(work)).await.map_err(|_| JobError::Closed)?;
        Ok(done.map_err(|error| self.report_failure(error, generation)))
    }
}
