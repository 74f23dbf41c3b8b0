//! The crate stays free of sockets, clocks and threads, so that it builds for browsers and runs in simulations.

use std::path::Path;

const FORBIDDEN: &[&str] = &[
    "std::net",
    "std::thread",
    "std::fs",
    "std::process",
    "std::env",
    "Instant",
    "SystemTime",
    "tokio",
    "rand::",
];

#[test]
fn no_source_file_names_what_this_crate_must_not_know() {
    let mut files = 0;
    visit(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut |path, text| {
            files += 1;
            for (number, line) in text
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
            {
                let found = FORBIDDEN.iter().find(|word| line.contains(**word));
                assert!(
                    found.is_none(),
                    "{}:{}: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                );
            }
        },
    );
    assert!(files > 30, "only {files} files were found");
}

fn visit(folder: &Path, check: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, check);
        } else {
            check(&path, &std::fs::read_to_string(&path).expect("a text"));
        }
    }
}
