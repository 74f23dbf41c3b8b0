//! The data directory: made when missing, and used by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::broker::embedded::config::OpenError;

/// Makes the directory and takes its lock; the lock lasts as long as the returned file and ends with the
/// process however that ends.
pub(super) fn claim(directory: &Path) -> Result<File, OpenError> {
    let failed = |source: io::Error| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    make(directory).map_err(failed)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("parlor.lock"))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: directory.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A directory entry that is not itself on the disk takes everything below it along in a power cut.
fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    match directory.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_refused_until_it_is_free() {
        let temp = tempfile::tempdir().unwrap();
        let directory = temp.path().join("a/b");
        let first = claim(&directory).unwrap();
        let refused = claim(&directory).unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
        drop(first);
        claim(&directory).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        fs::write(&path, "").unwrap();
        let refused = claim(&path).unwrap_err();
        assert!(matches!(refused, OpenError::Directory { .. }), "{refused}");
    }
}
