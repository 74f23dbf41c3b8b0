//! A tree of source files, read or made up.

use std::fs;
use std::path::Path;

/// Paths below the root, with `/`, and their texts.
pub(crate) struct Tree(pub(crate) Vec<(String, String)>);

impl Tree {
    /// All Rust files below this folder of the repository.
    pub(crate) fn read(root: &str) -> Self {
        Self::read_named(root, |name| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "rs")
        })
    }

    /// All files below this folder of the repository whose name is wanted.
    pub(crate) fn read_named(root: &str, is_wanted: impl Fn(&str) -> bool) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(root);
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)
                .expect("a folder of the repository")
                .map(|entry| entry.expect("its entry"))
            {
                let (path, name) = (
                    entry.path(),
                    entry.file_name().to_string_lossy().into_owned(),
                );
                if entry.file_type().expect("its type").is_dir() {
                    let is_ours = !name.starts_with('.')
                        && !["target", "node_modules", "dist"].contains(&name.as_str());
                    folders.extend(is_ours.then_some(path));
                } else if is_wanted(&name) {
                    let below = path.strip_prefix(&root).expect("it stands below the root");
                    files.push((
                        below.to_string_lossy().replace('\\', "/"),
                        fs::read_to_string(&path).expect("a text"),
                    ));
                }
            }
        }
        files.sort();
        Self(files)
    }
}

/// The module of the crate's root that a file belongs to.
pub(crate) fn top_module(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}
