//! The data directory as a whole: who uses it, and which installation it belongs to.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::error::JournalError;

/// Eight lower-case base-36 characters, drawn at the first start: part of every order id that a
/// venue sees, and the proof that journal and store belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstallationId(pub(crate) [u8; 8]);

impl InstallationId {
    /// Reads an id; `None` unless it is eight characters of `0-9a-z`.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; 8] = text.as_bytes().try_into().ok()?;
        id.iter()
            .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
            .then_some(Self(id))
    }

    fn draw() -> std::io::Result<Self> {
        let mut random = File::open("/dev/urandom")?;
        let mut id = [0; 8];
        for place in &mut id {
            *place = loop {
                let mut byte = [0];
                random.read_exact(&mut byte)?;
                // 252 = 7 × 36: above it the remainder would favour some characters.
                if byte[0] < 252 {
                    break b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(byte[0] % 36)];
                }
            };
        }
        Ok(Self(id))
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0 {
            write!(f, "{}", char::from(c))?;
        }
        Ok(())
    }
}

/// The exclusive use of a data directory; given back when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock on `<data_dir>/lock`, or names who holds it.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, JournalError> {
        let path = data_dir.join("lock");
        let io = |what| JournalError::io(what, &path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                (&mut file)
                    .take(32)
                    .read_to_string(&mut pid)
                    .map_err(io("read"))?;
                return Err(JournalError::Locked {
                    dir: data_dir.to_owned(),
                    pid: pid.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        file.set_len(0).map_err(io("truncate"))?;
        writeln!(file, "{}", std::process::id()).map_err(io("write"))?;
        Ok(Self { _file: file })
    }
}

/// Creates a directory and its parents, for this user alone.
pub(crate) fn create_dir(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(JournalError::io("create", path))?;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync_dir(parent).map_err(JournalError::io("sync", parent))?;
    }
    Ok(())
}

/// Makes created and renamed entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// The installation's id: from its file; else `known` from the journal; else a new one.
pub(crate) fn installation(
    data_dir: &Path,
    known: Option<InstallationId>,
) -> Result<InstallationId, JournalError> {
    let path = data_dir.join("installation");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            InstallationId::parse(text.trim_end()).ok_or(JournalError::Installation { path })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = match known {
                Some(id) => id,
                None => InstallationId::draw()
                    .map_err(JournalError::io("read", Path::new("/dev/urandom")))?,
            };
            write_whole(data_dir, "installation", format!("{id}\n").as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(JournalError::io("read", &path)(error)),
    }
}

/// Makes `id` the installation of a new data directory.
pub(crate) fn establish(data_dir: &Path, id: InstallationId) -> Result<(), JournalError> {
    write_whole(data_dir, "installation", format!("{id}\n").as_bytes())
}

/// Writes a small file so that a crash leaves either nothing or all of it.
pub(crate) fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
    let (path, temporary) = (dir.join(name), dir.join(format!("{name}.tmp")));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        sync_dir(dir)
    };
    write().map_err(JournalError::io("write", &path))
}
