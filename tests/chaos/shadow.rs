//! A power cut: beside a node's directory stands what of it was flushed, and after the cut nothing else is left.
//!
//! The copying is done inside the node, by a library that stands before libc's flushes (`shadow.c`). It shows losses of what
//! was not flushed at all, not reordered or torn blocks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// Copies that are not whole.
const PASSING: &str = ".part";

/// What of a directory was flushed.
#[derive(Debug)]
pub(crate) struct Shadow {
    copies: TempDir,
}

impl Shadow {
    pub(crate) fn new() -> Self {
        Self {
            copies: TempDir::new().expect("a directory for what was flushed"),
        }
    }

    /// Makes a node keep its shadow of this directory.
    pub(crate) fn follow(&self, command: &mut Command, directory: &Path) {
        let directory = directory.canonicalize().expect("the node's directory");
        command
            .env("LD_PRELOAD", library())
            .env("SHADOW_OF", directory)
            .env("SHADOW_TO", self.copies.path());
    }

    /// Leaves of these files in the directory of a node that is gone only what was flushed.
    pub(crate) fn cut(&self, directory: &Path, is_data: impl Fn(&str) -> bool) {
        for path in data_in(directory, &is_data) {
            std::fs::remove_file(path).expect("an unflushed file is removed");
        }
        for path in data_in(self.copies.path(), &is_data) {
            let name = path.file_name().expect("a file's name");
            std::fs::copy(&path, directory.join(name)).expect("a flushed file is put back");
        }
    }
}

fn data_in(directory: &Path, is_data: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| is_data(name) && !name.ends_with(PASSING))
        })
        .collect()
}

/// The compiled library. The C compiler is there: SQLite was built with it.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("chaos/shadow.c");
        let library = folder.join(format!("shadow-{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "unable to build the library that watches flushes"
        );
        library
    })
}
