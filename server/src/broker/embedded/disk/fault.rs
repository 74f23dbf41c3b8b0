//! What a failed statement means for the store.

use rusqlite::{ErrorCode, ffi};

use crate::broker::embedded::health::Health;

/// The verdicts on an error of SQLite. Whatever is not known to be harmless ends the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No space: nothing was written, and it works again once there is some.
    Full,
    /// Somebody else holds the file, or memory is short: nothing was written, a retry may succeed.
    Passing,
    /// The disk failed or the file is damaged: no later success can be believed.
    Fatal,
}

impl Fault {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let Some(error) = error.sqlite_error() else {
            // A row that does not read as this build writes it.
            return Self::Fatal;
        };
        match (error.code, error.extended_code) {
            (ErrorCode::DiskFull, _) => Self::Full,
            // The index of the write-ahead log could not grow: a full disk under another name, and never durable data.
            (ErrorCode::SystemIoFailure, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            (ErrorCode::SystemIoFailure, ffi::SQLITE_IOERR_NOMEM) => Self::Passing,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory, _) => {
                Self::Passing
            }
            _ => Self::Fatal,
        }
    }
}

/// Work beside the appends failed: only what says that the disk cannot be believed matters.
pub(super) fn note(error: &rusqlite::Error, health: &Health) {
    match Fault::of(error) {
        Fault::Fatal => health.fail(format!("unable to tend the log; {error}")),
        Fault::Full | Fault::Passing => tracing::debug!(%error, "Tending the log has to wait."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, expected: Fault) {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert_eq!(Fault::of(&error), expected, "{error}");
    }

    #[test]
    fn a_full_disk_is_told_from_a_failing_one() {
        check(ffi::SQLITE_FULL, Fault::Full);
        check(ffi::SQLITE_IOERR_SHMSIZE, Fault::Full);
        check(ffi::SQLITE_IOERR_WRITE, Fault::Fatal);
        check(ffi::SQLITE_IOERR_FSYNC, Fault::Fatal);
        check(ffi::SQLITE_IOERR_READ, Fault::Fatal);
    }

    #[test]
    fn damage_and_the_unexpected_end_the_service() {
        check(ffi::SQLITE_CORRUPT, Fault::Fatal);
        check(ffi::SQLITE_NOTADB, Fault::Fatal);
        check(ffi::SQLITE_READONLY_DBMOVED, Fault::Fatal);
        check(ffi::SQLITE_CONSTRAINT_PRIMARYKEY, Fault::Fatal);
        assert_eq!(
            Fault::of(&rusqlite::Error::QueryReturnedNoRows),
            Fault::Fatal
        );
    }

    #[test]
    fn what_another_process_or_the_memory_causes_passes() {
        check(ffi::SQLITE_BUSY, Fault::Passing);
        check(ffi::SQLITE_LOCKED, Fault::Passing);
        check(ffi::SQLITE_NOMEM, Fault::Passing);
        check(ffi::SQLITE_IOERR_NOMEM, Fault::Passing);
    }
}
