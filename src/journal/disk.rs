//! The few things that the journal asks of a file system, so that tests can put one in its place
//! that fails, writes short, and forgets in a crash what was not synced.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::installation::sync_dir;

/// A directory of journal files.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Names of the files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading alone.
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Creates a file of `bytes` zeros, or replaces one. The zeros are on disk when this returns, the
    /// name may not be. After an error nothing takes up room.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Creates a file that takes up `bytes` of the disk; what is in it means nothing. After an error
    /// nothing takes up room.
    fn occupy(&self, name: &str, bytes: u64) -> io::Result<()>;
    /// Renames a file. A crash may undo it until [`Disk::sync_names`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. A crash may undo it until [`Disk::sync_names`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Every created, renamed and removed name is on disk when this returns.
    fn sync_names(&self) -> io::Result<()>;
    /// Bytes that may still be written.
    fn available(&self) -> io::Result<u64>;
    /// What to call a file in messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open journal file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Its size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `bytes` from `offset` on.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes`. After an error nobody knows how much was written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Everything written is on disk when this returns. After an error nobody knows what is.
    fn sync(&mut self) -> io::Result<()>;

    /// Everything in it.
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let size = usize::try_from(self.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// A real directory.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn new_file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name))
    }

    /// Removes what is left of a file that could not be made.
    fn or_nothing<T>(&self, name: &str, made: io::Result<T>) -> io::Result<T> {
        if made.is_err() {
            // The first error is the one to tell; a leftover is removed by the next attempt.
            drop(std::fs::remove_file(self.path(name)));
        }
        made
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.0)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name))?;
        Ok(Box::new(file))
    }

    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(self.path(name))?))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let made = self.new_file(name).and_then(|mut file| {
            write_zeros(&mut file, bytes)?;
            file.sync_all()?;
            Ok(Box::new(file) as Box<dyn DiskFile>)
        });
        self.or_nothing(name, made)
    }

    fn occupy(&self, name: &str, bytes: u64) -> io::Result<()> {
        let made = self.new_file(name).and_then(|mut file| {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) => {}
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                    write_zeros(&mut file, bytes)?;
                }
                Err(error) => return Err(error.into()),
            }
            file.sync_all()
        });
        self.or_nothing(name, made)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_dir(&self.0)
    }

    fn available(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.0)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Real writes, not `fallocate`: the first write into unwritten extents changes metadata, and `fdatasync`
/// took 168 µs there against 118 µs.
fn write_zeros(file: &mut File, bytes: u64) -> io::Result<()> {
    const CHUNK: &[u8] = &[0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).map_or(CHUNK.len(), |l| l.min(CHUNK.len()));
        io::Write::write_all(file, &CHUNK[..size])?;
        left -= size as u64;
    }
    Ok(())
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
