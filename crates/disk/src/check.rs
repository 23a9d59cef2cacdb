//! Tries to open an inbox file as a node would, without changing it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use redb::{Database, StorageBackend};

use crate::error::OpenError;
use crate::file::open_checked;

/// Bytes that a write copies.
const PAGE: u64 = 4096;

/// Returns the error that opening the file would return, or that creating it would return if it does not exist. Reads
/// the whole file.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    let unusable = |error: io::Error| OpenError::new(path, redb::Error::Io(error));
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return check_folder(path).map_err(unusable),
        Err(error) => return Err(unusable(error)),
    };
    file.try_lock_shared().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse(path.into()),
        TryLockError::Error(error) => unusable(error),
    })?;
    let len = file.metadata().map_err(unusable)?.len();
    let unchanged = Unchanged(Mutex::new(Overlay { file, len, pages: HashMap::new() }));
    open_checked(path, |builder| builder.create_with_backend(unchanged), Database::builder()).map(drop)
}

/// Returns the error if no file can be created beside `path`.
fn check_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let allowed = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    Ok(rustix::fs::accessat(rustix::fs::CWD, folder, allowed, rustix::fs::AtFlags::EACCESS)?)
}

/// A file whose changes stay in memory.
#[derive(Debug)]
struct Unchanged(Mutex<Overlay>);

#[derive(Debug)]
struct Overlay {
    file: File,
    len: u64,
    /// The changed pages by their number.
    pages: HashMap<u64, Vec<u8>>,
}

impl Unchanged {
    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        self.0.lock().expect("no code that holds the overlay panics")
    }
}

impl Overlay {
    /// A page of the file. Bytes beyond its end are zero.
    fn read_page(&self, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = self.pages.get(&number) {
            return Ok(page.clone());
        }
        let (mut page, mut filled) = (vec![0; PAGE as usize], 0);
        while filled < page.len() {
            match self.file.read_at(&mut page[filled..], number * PAGE + filled as u64)? {
                0 => break,
                len => filled += len,
            }
        }
        Ok(page)
    }

    /// Calls `visit` for each page of a range, with the range in the page and in the data.
    fn for_pages(
        offset: u64,
        len: usize,
        mut visit: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let begin = (at % PAGE) as usize;
            let part = (PAGE as usize - begin).min(len - done);
            visit(at / PAGE, begin..begin + part, done..done + part)?;
            done += part;
        }
        Ok(())
    }
}

impl StorageBackend for Unchanged {
    fn len(&self) -> io::Result<u64> {
        Ok(self.overlay().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let overlay = self.overlay();
        if offset + out.len() as u64 > overlay.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Overlay::for_pages(offset, out.len(), |number, in_page, in_data| {
            out[in_data].copy_from_slice(&overlay.read_page(number)?[in_page]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.overlay().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut overlay = self.overlay();
        Overlay::for_pages(offset, data.len(), |number, in_page, in_data| {
            let mut page = overlay.read_page(number)?;
            page[in_page].copy_from_slice(&data[in_data]);
            overlay.pages.insert(number, page);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::MessageNumber;
    use switchboard_testkit::{Scratch, name};

    use super::*;
    use crate::file::InboxFile;

    /// Writes an inbox file with a message, and returns its path.
    fn inbox(scratch: &Scratch) -> String {
        let path = scratch.file("inbox.redb");
        let file = InboxFile::open(path.as_ref()).unwrap();
        let insert = |number| {
            let user = name("7");
            file.write(|transaction| {
                transaction.insert(&name("p"), &user, MessageNumber(number), &[1; 5000])
            })
            .unwrap();
        };
        (1..50).for_each(insert);
        path
    }

    #[test]
    fn a_check_agrees_with_opening_and_changes_nothing() {
        let scratch = Scratch::new();
        let path = inbox(&scratch);
        let intact = std::fs::read(&path).unwrap();
        let mut changed = intact.clone();
        changed[intact.len() / 3] ^= 1;
        let contents =
            [intact.clone(), changed, b"no inbox".to_vec(), vec![0; 4096], intact[..5000].to_vec(), vec![]];
        for (at, contents) in contents.iter().enumerate() {
            std::fs::write(&path, contents).unwrap();
            let checked = check(path.as_ref()).map_err(|error| error.to_string());
            assert_eq!(&std::fs::read(&path).unwrap(), contents, "{at}");
            let opened = InboxFile::open(path.as_ref()).map(drop).map_err(|error| error.to_string());
            assert_eq!(checked, opened, "{at}");
        }
    }

    #[test]
    fn a_file_in_use_and_a_folder_in_its_place_are_refused_and_a_missing_file_is_not_created() {
        let scratch = Scratch::new();
        let path = scratch.file("inbox.redb");
        check(path.as_ref()).unwrap();
        assert!(!Path::new(&path).exists());
        let file = InboxFile::open(path.as_ref()).unwrap();
        assert!(matches!(check(path.as_ref()), Err(OpenError::InUse(_))));
        drop(file);
        check(path.as_ref()).unwrap();
        assert!(matches!(check(scratch.file("").as_ref()), Err(OpenError::Unusable { .. })));
        let nowhere = scratch.file("no/such/folder/inbox.redb");
        assert!(matches!(check(nowhere.as_ref()), Err(OpenError::Unusable { .. })));
    }
}
