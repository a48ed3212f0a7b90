//! Records that the operator has told us to pass over, because applying them fails.
//!
//! The file `quarantine` in the journal directory has a line for each: the record, and the last record that the
//! journal held when the operator decided. From the one after that on, only reductions pass until the operator
//! resumes; so an old "resume" behind the bad record does not count as one.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::disk::Disk;
use super::error::JournalError;
use crate::kernel::event::{Seq, Sequenced};
use crate::kernel::ledger::{Ledger, LedgerError};

/// The file.
pub(crate) const QUARANTINE: &str = "quarantine";
const UNFINISHED: &str = "quarantine.tmp";
const HEAD: &str = "# Records of this journal that are passed over at every start, one a line: the record, and the\n\
                    # last record at the time. Written by `hean journal quarantine`.\n";

/// The records under quarantine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// By record: the last one when it was put here.
    entries: BTreeMap<Seq, Seq>,
}

impl Quarantine {
    /// Reads the list; no file is an empty one.
    pub(crate) fn load(disk: &dyn Disk) -> Result<Self, JournalError> {
        let path = disk.path(QUARANTINE);
        let bytes = match disk.open_read(QUARANTINE).and_then(|f| f.read_all()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(JournalError::io("read", &path)(error)),
        };
        let mut entries = BTreeMap::new();
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |word: &str| word.parse::<u64>().ok().filter(|n| *n > 0).map(Seq);
            let wrong = |why: &str| JournalError::Quarantine {
                path: path.clone(),
                line: index + 1,
                why: why.to_owned(),
            };
            match words.as_slice() {
                [] => {}
                [seq, through] => {
                    let (Some(seq), Some(through)) = (number(seq), number(through)) else {
                        return Err(wrong("not two numbers from 1 on"));
                    };
                    if through < seq {
                        return Err(wrong("the second number is below the first"));
                    }
                    entries.insert(seq, through);
                }
                _ => return Err(wrong("not two numbers")),
            }
        }
        Ok(Self { entries })
    }

    /// Writes the list, whole or not at all.
    pub(crate) fn save(&self, disk: &dyn Disk) -> std::io::Result<()> {
        let mut text = HEAD.as_bytes().to_vec();
        for (seq, through) in &self.entries {
            writeln!(text, "{} {}", seq.0, through.0)?;
        }
        let mut file = disk.create(UNFINISHED, 0)?;
        file.write_at(0, &text)?;
        file.sync()?;
        disk.rename(UNFINISHED, QUARANTINE)?;
        disk.sync_names()
    }

    /// Adds a record; `through` is the last one of the journal. Whether it is new.
    pub(crate) fn add(&mut self, seq: Seq, through: Seq) -> bool {
        self.entries.insert(seq, through).is_none()
    }

    /// The records, ascending.
    pub fn records(&self) -> impl Iterator<Item = Seq> {
        self.entries.keys().copied()
    }

    /// Whether a record is to be passed over.
    pub fn holds(&self, seq: Seq) -> bool {
        !self.entries.is_empty() && self.entries.contains_key(&seq)
    }

    /// Applies a record, or passes it over.
    pub fn apply(&self, ledger: &mut Ledger, record: &Sequenced) -> Result<(), LedgerError> {
        if self.entries.is_empty() {
            return ledger.apply(record).map(drop);
        }
        if self.holds(record.seq) {
            ledger.pass_over(record.seq)?;
        } else {
            ledger.apply(record)?;
        }
        if self.entries.values().any(|through| *through == record.seq) {
            ledger.distrust();
        }
        Ok(())
    }
}
