//! Records of every format that is still read, made into records of today.
//!
//! A segment says in its header which format its records have; [`super::FORMAT_VERSION`] is written. Who
//! changes the layout of a record raises that number, keeps the old layout here as a type of its own, and
//! gives it an arm in [`record`] that converts it.

use super::format::{FORMAT_OLDEST, FORMAT_VERSION, Fault};
use crate::kernel::event::Sequenced;

/// Whether segments of a format can be read.
pub(crate) fn is_known(version: u32) -> bool {
    (FORMAT_OLDEST..=FORMAT_VERSION).contains(&version)
}

/// A record of format `version`, which is the whole of `bytes`.
pub(crate) fn record(version: u32, bytes: &[u8]) -> Result<Sequenced, Fault> {
    let (record, left) = match version {
        3 => postcard::take_from_bytes::<Sequenced>(bytes),
        other => return Err(Fault::Record(format!("of the unknown format {other}"))),
    }
    .map_err(|e| Fault::Record(e.to_string()))?;
    if left.is_empty() {
        Ok(record)
    } else {
        Err(Fault::Record("bytes left over".to_owned()))
    }
}
