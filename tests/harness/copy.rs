//! A copy of a stopped server's directory: a backup, as an operator would make one.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// Files as they were.
#[derive(Debug)]
pub struct Copy(TempDir);

impl Copy {
    /// # Panics
    /// When a file cannot be copied.
    pub fn of(directory: &Path) -> Self {
        let copy = Self(TempDir::new().expect("a directory for the copy"));
        copy_all(directory, copy.0.path());
        copy
    }

    /// Puts the files in the place of what is there now.
    ///
    /// # Panics
    /// When a file cannot be copied.
    pub fn restore(&self, directory: &Path) {
        for path in files(directory) {
            fs::remove_file(path).expect("removed");
        }
        copy_all(self.0.path(), directory);
    }
}

fn copy_all(from: &Path, to: &Path) {
    for path in files(from) {
        let name = path.file_name().expect("a file has a name");
        fs::copy(&path, to.join(name)).expect("copied");
    }
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}
