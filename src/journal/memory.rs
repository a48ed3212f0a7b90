//! A disk in memory that behaves as badly as a disk may: it fails, writes short, and in a crash
//! keeps an arbitrary part of what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use super::disk::{Disk, DiskFile};

/// What a power cut can tear a write into.
const SECTOR: usize = 512;

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

/// Its content, and what is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct State {
    names: BTreeMap<String, usize>,
    inodes: Vec<Content>,
    /// After so many more writes, one fails after half of its bytes.
    pub(crate) writes_left: Option<usize>,
    /// Whether a sync fails.
    pub(crate) sync_fails: bool,
}

#[derive(Debug, Clone, Default)]
struct Content {
    synced: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl State {
    fn content(&mut self, name: &str) -> &mut Content {
        &mut self.inodes[self.names[name]]
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
}

impl MemoryDisk {
    /// Holds everybody up who wants to read or write.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// The disk after a power cut: of each unsynced write, any sectors may have been kept.
    pub(crate) fn crash(&self, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let copy = self.copy();
        for content in &mut copy.lock().inodes {
            let bytes = &mut content.synced;
            for (offset, written) in content.unsynced.drain(..) {
                let mut at = 0;
                while at < written.len() {
                    let sector_end = ((offset + at) / SECTOR + 1) * SECTOR;
                    let end = (sector_end - offset).min(written.len());
                    if random.next_u32() & 1 == 1 {
                        bytes[offset + at..offset + end].copy_from_slice(&written[at..end]);
                    }
                    at = end;
                }
            }
            content.now.clone_from(bytes);
        }
        copy
    }

    /// A copy whose file `name` was changed behind our back.
    pub(crate) fn tampered(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let copy = self.copy();
        let mut state = copy.lock();
        let content = state.content(name);
        change(&mut content.now);
        content.synced.clone_from(&content.now);
        drop(state);
        copy
    }

    fn copy(&self) -> Self {
        let state = self.lock();
        Self(Arc::new(Mutex::new(State {
            names: state.names.clone(),
            inodes: state.inodes.clone(),
            ..State::default()
        })))
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.lock().content(name).now.clone()
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let inode = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let zeros = vec![0; usize::try_from(bytes).expect("small")];
        let mut state = self.lock();
        let inode = state.inodes.len();
        state.inodes.push(Content {
            synced: zeros.clone(),
            now: zeros,
            unsynced: Vec::new(),
        });
        state.names.insert(name.to_owned(), inode);
        drop(state);
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().names.remove(name);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].now.len() as u64)
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        Ok(self.disk.lock().inodes[self.inode].now.clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let fails = state.writes_left == Some(0);
        state.writes_left = state.writes_left.map(|n| n.saturating_sub(1));
        let bytes = if fails {
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        let at = usize::try_from(offset).expect("small");
        let content = &mut state.inodes[self.inode];
        content.now[at..at + bytes.len()].copy_from_slice(bytes);
        content.unsynced.push((at, bytes.to_owned()));
        if fails {
            return Err(io::Error::other("no space left (injected)"));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        if state.sync_fails {
            return Err(io::Error::other("input/output error (injected)"));
        }
        let content = &mut state.inodes[self.inode];
        content.synced.clone_from(&content.now);
        content.unsynced.clear();
        Ok(())
    }
}
