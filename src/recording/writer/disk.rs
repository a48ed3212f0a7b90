//! The few things that a recorder asks of a file system, so that tests can put one in its place that
//! is full or fails.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::kernel::types::VenueId;

/// A directory of recordings with a directory for each venue.
pub(super) trait Disk: Debug + Send {
    /// Names and sizes of a venue's files, in no order; none without its directory.
    fn list(&self, venue: VenueId) -> io::Result<Vec<(String, u64)>>;
    /// Creates an empty file. [`io::ErrorKind::AlreadyExists`] if there is one.
    fn create(&self, venue: VenueId, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, venue: VenueId, name: &str) -> io::Result<()>;
    /// Bytes that this user may still write.
    fn free(&self) -> io::Result<u64>;
    /// What to call a file in messages.
    fn path(&self, venue: VenueId, name: &str) -> PathBuf;
}

/// A file that is written at its end.
pub(super) trait DiskFile: Debug + Send {
    /// Appends all of `bytes`. After an error nobody knows how much was written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts everything behind `bytes` bytes.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
    /// Everything written is on disk when this returns.
    fn sync(&mut self) -> io::Result<()>;
}

/// A real directory.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// The directory, created for this user alone if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        make(path)?;
        Ok(Self(path.to_owned()))
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Disk for Directory {
    fn list(&self, venue: VenueId) -> io::Result<Vec<(String, u64)>> {
        let entries = match std::fs::read_dir(self.0.join(venue.name())) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                files.push((name, about.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, venue: VenueId, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let dir = self.0.join(venue.name());
        make(&dir)?;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(dir.join(name))?;
        // The name must survive a power cut as well.
        File::open(&dir)?.sync_all()?;
        Ok(Box::new(file))
    }

    fn remove(&self, venue: VenueId, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(venue, name))
    }

    fn free(&self) -> io::Result<u64> {
        let about = rustix::fs::statvfs(&self.0)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    fn path(&self, venue: VenueId, name: &str) -> PathBuf {
        self.0.join(venue.name()).join(name)
    }
}

impl DiskFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
