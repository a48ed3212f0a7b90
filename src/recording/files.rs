//! Which files a recording consists of, where a directory stands for all of its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RecordingError;
use crate::kernel::types::VenueId;

/// What recordings are called.
const KINDS: [&str; 2] = ["txt", "jsonl"];
/// How they may be compressed.
const PACKINGS: [&str; 2] = ["gz", "zst"];

/// The files that `paths` name, in their order: a directory stands for its recordings in the order
/// of their names, or for those in its folder of `venue` if it has none itself (which is how a
/// recorder keeps them).
pub fn files<P: AsRef<Path>>(paths: &[P], venue: VenueId) -> Result<Vec<PathBuf>, RecordingError> {
    let mut all = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if !path.is_dir() {
            all.push(path.to_owned()); // opened, or missed, when its turn comes
            continue;
        }
        let mut found = recordings(path)?;
        let below = path.join(venue.name());
        if found.is_empty() && below.is_dir() {
            found = recordings(&below)?;
        }
        if found.is_empty() {
            let folders = entries(path)?.into_iter().filter(|entry| entry.is_dir());
            let mut folders: Vec<_> = folders
                .filter_map(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()))
                .collect();
            folders.sort();
            return Err(RecordingError::Empty {
                dir: path.to_owned(),
                folders: folders.join(", "),
            });
        }
        all.extend(found);
    }
    Ok(all)
}

fn recordings(dir: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let mut files = entries(dir)?;
    files.retain(|path| path.is_file() && is_recording(path));
    files.sort();
    Ok(files)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    };
    list().map_err(|source| RecordingError::Open {
        file: dir.to_owned(),
        source,
    })
}

fn is_recording(path: &Path) -> bool {
    let is = |path: &Path, kinds: [&str; 2]| {
        path.extension()
            .is_some_and(|e| kinds.iter().any(|kind| e == *kind))
    };
    if is(path, PACKINGS) {
        return path.file_stem().is_some_and(|s| is(Path::new(s), KINDS));
    }
    is(path, KINDS)
}
