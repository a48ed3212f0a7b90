//! Where the recordings are that the repository does not carry.

use std::path::{Path, PathBuf};

/// The folder of recordings: `$HEAN_TEST_DATA`, else `../shared/data`. `None`, said in a line, where
/// there is none; with `CI` set that is a failure.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn recordings() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("HEAN_TEST_DATA").map_or_else(beside, PathBuf::from);
    if data.is_dir() {
        return Some(data);
    }
    let ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    assert!(!ci, "no recordings at {}", data.display());
    println!("skipped: no recordings at {}", data.display());
    None
}
