//! A disk in memory that behaves as badly as a disk may: it fails, writes short, fills up, and in a crash
//! keeps an arbitrary part of what was not synced, of names as well as of bytes.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use super::disk::{Disk, DiskFile};

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

/// What is to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `ENOSPC`, after half of a write.
    NoSpace,
    /// `EIO`, after half of a write; what a sync was to sync may be lost, and no later sync brings it back.
    Io,
    /// The power goes: half of the write may have been done, and nothing is possible any more.
    PowerCut,
}

/// Its content, and what is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct State {
    names: BTreeMap<String, usize>,
    /// The names that are on disk, and what has been done to them since.
    durable: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
    inodes: Vec<Content>,
    /// Changes of names or bytes, and syncs, since it was made.
    pub(crate) changes: usize,
    /// The change that fails, by its number, and how.
    pub(crate) fault: Option<(usize, Fault)>,
    /// Whether every sync fails.
    pub(crate) sync_fails: bool,
    dead: bool,
    /// Bytes that it can hold; `None`: any number.
    pub(crate) capacity: Option<u64>,
}

#[derive(Debug, Clone)]
struct NameChange {
    gone: Option<String>,
    set: Option<(String, usize)>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    synced: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Written, and then a sync failed: perhaps on disk, and no sync touches it again.
    lost: Vec<(usize, Vec<u8>)>,
}

impl State {
    fn content(&mut self, name: &str) -> &mut Content {
        &mut self.inodes[self.names[name]]
    }

    /// Counts a change; the fault that is due, if one is.
    fn change(&mut self) -> io::Result<Option<Fault>> {
        if self.dead {
            return Err(io::Error::other("the power is off"));
        }
        let number = self.changes;
        self.changes += 1;
        let fault = self
            .fault
            .filter(|(at, _)| *at == number)
            .map(|(_, fault)| fault);
        self.dead |= fault == Some(Fault::PowerCut);
        Ok(fault)
    }

    fn rename(&mut self, change: NameChange) -> io::Result<()> {
        let fault = self.change()?;
        if matches!(fault, Some(Fault::NoSpace | Fault::Io)) {
            return error(fault);
        }
        if let Some(gone) = &change.gone {
            self.names.remove(gone);
        }
        if let Some((name, inode)) = &change.set {
            self.names.insert(name.clone(), *inode);
        }
        self.pending.push(change);
        error(fault)
    }

    fn used(&self) -> u64 {
        let of = |inode: &usize| self.inodes[*inode].now.len() as u64;
        self.names.values().map(of).sum()
    }

    fn room(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if self.used() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

fn error(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
        Some(Fault::Io) => Err(io::Error::other("input/output error (injected)")),
        Some(Fault::PowerCut) => Err(io::Error::other("the power goes")),
    }
}

impl Content {
    fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
        let end = at + written.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at..end].copy_from_slice(written);
    }

    /// Keeps any part of a write, by sectors or pages of `unit` bytes.
    fn keep_some(&mut self, at: usize, written: &[u8], unit: usize, random: &mut ChaCha8Rng) {
        let mut from = 0;
        while from < written.len() {
            let unit_end = ((at + from) / unit + 1) * unit;
            let end = (unit_end - at).min(written.len());
            if random.next_u32() & 1 == 1 {
                Self::put(&mut self.synced, at + from, &written[from..end]);
            }
            from = end;
        }
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

    /// The disk after a power cut: any of the changes of names since the last sync of names, and of each
    /// unsynced write any sectors (in half of the seeds: pages), may have been kept.
    pub(crate) fn crash(&self, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let unit = if random.next_u32() & 1 == 1 {
            512
        } else {
            4_096
        };
        let copy = self.copy();
        let mut state = copy.lock();
        let mut names = std::mem::take(&mut state.durable);
        for change in std::mem::take(&mut state.pending) {
            if random.next_u32() & 1 == 1 {
                if let Some(gone) = &change.gone {
                    names.remove(gone);
                }
                if let Some((name, inode)) = change.set {
                    names.insert(name, inode);
                }
            }
        }
        let named: std::collections::BTreeSet<usize> = names.values().copied().collect();
        state.durable.clone_from(&names);
        state.names = names;
        for (inode, content) in state.inodes.iter_mut().enumerate() {
            if !named.contains(&inode) {
                *content = Content::default();
            }
        }
        for content in &mut state.inodes {
            let lost = std::mem::take(&mut content.lost);
            let unsynced = std::mem::take(&mut content.unsynced);
            for (at, written) in lost.iter().chain(&unsynced) {
                content.keep_some(*at, written, unit, &mut random);
            }
            content.now.clone_from(&content.synced);
        }
        drop(state);
        copy
    }

    /// A copy whose file `name` was changed behind our back.
    pub(crate) fn tampered(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let copy = self.copy();
        let mut state = copy.lock();
        let content = state.content(name);
        change(&mut content.now);
        content.synced.clone_from(&content.now);
        content.unsynced.clear();
        drop(state);
        copy
    }

    fn copy(&self) -> Self {
        let state = self.lock();
        Self(Arc::new(Mutex::new(State {
            names: state.names.clone(),
            durable: state.durable.clone(),
            pending: state.pending.clone(),
            inodes: state.inodes.clone(),
            ..State::default()
        })))
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.lock().content(name).now.clone()
    }

    fn file(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let inode = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile {
            disk: self.clone(),
            inode,
        }))
    }

    /// A new file: its bytes are on disk unless the power goes, its name is not.
    fn make(&self, name: &str, bytes: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(bytes).expect("small")];
        let mut state = self.lock();
        state.room(bytes)?;
        let inode = state.inodes.len();
        state.inodes.push(Content {
            synced: zeros.clone(),
            now: zeros,
            ..Content::default()
        });
        state.rename(NameChange {
            gone: None,
            set: Some((name.to_owned(), inode)),
        })
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(name)
    }

    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(name)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.make(name, bytes)?;
        self.file(name)
    }

    fn occupy(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.make(name, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.rename(NameChange {
            gone: Some(from.to_owned()),
            set: Some((to.to_owned(), inode)),
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(NameChange {
            gone: Some(name.to_owned()),
            set: None,
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.change()?;
        if state.sync_fails {
            return error(Some(Fault::Io));
        }
        if fault.is_none() {
            state.pending.clear();
            state.durable = state.names.clone();
        }
        error(fault)
    }

    fn available(&self) -> io::Result<u64> {
        let state = self.lock();
        let left = |capacity: u64| capacity.saturating_sub(state.used());
        Ok(state.capacity.map_or(u64::MAX, left))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory/journal").join(name)
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].now.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let state = self.disk.lock();
        let at = usize::try_from(offset).expect("small");
        let now = &state.inodes[self.inode].now;
        let found = now.get(at..at + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let at = usize::try_from(offset).expect("small");
        let grows = (at + bytes.len()).saturating_sub(state.inodes[self.inode].now.len());
        state.room(grows as u64)?;
        let fault = state.change()?;
        let bytes = if fault.is_some() {
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        let content = &mut state.inodes[self.inode];
        Content::put(&mut content.now, at, bytes);
        content.unsynced.push((at, bytes.to_owned()));
        error(fault)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let fault = state.change()?;
        let fails = state.sync_fails;
        let content = &mut state.inodes[self.inode];
        if fails || matches!(fault, Some(Fault::NoSpace | Fault::Io)) {
            let mut unsynced = std::mem::take(&mut content.unsynced);
            content.lost.append(&mut unsynced);
            return error(fault.or(Some(Fault::Io)));
        }
        if fault.is_none() {
            for (at, written) in std::mem::take(&mut content.unsynced) {
                Content::put(&mut content.synced, at, &written);
            }
        }
        error(fault)
    }
}
