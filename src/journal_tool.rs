//! `hean journal …`: what there is to say of a journal, as text or JSON.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::journal::{self, Checked, JournalConfig, JournalError, Tail};
use crate::json::Json;
use crate::kernel::event::{Seq, Sequenced};

/// Records that `tail` begins with.
const LAST: usize = 10;
/// How often `tail` looks for more.
const PERIOD: Duration = Duration::from_millis(50);

/// A journal cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum JournalToolError {
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nobody reads what is written.
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
    /// It can be read, and something is wrong.
    #[error("the journal is not in order: {0}")]
    Faulty(String),
}

/// Prints what is in the journal of `data_dir`, and fails if something is wrong there.
pub fn check(data_dir: &Path, json: bool, out: &mut dyn Write) -> Result<(), JournalToolError> {
    let checked = journal::check(data_dir)?;
    if json {
        out.write_all(&document(&checked))?;
        writeln!(out)?;
    } else {
        words(&checked, out)?;
    }
    out.flush()?;
    match checked.faults.first() {
        None => Ok(()),
        Some(first) => Err(JournalToolError::Faulty(first.clone())),
    }
}

fn words(checked: &Checked, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "journal       {}", checked.dir.display())?;
    if let Some(id) = checked.installation {
        writeln!(out, "installation  {id}")?;
    }
    if let Some(pid) = checked.used_by {
        writeln!(out, "in use by     process {pid}")?;
    }
    writeln!(
        out,
        "records       {} in {} batches: {} to {}",
        checked.records, checked.batches, checked.first.0, checked.last.0
    )?;
    writeln!(
        out,
        "on disk       up to {} for certain",
        checked.proven_durable.0
    )?;
    if checked.torn_bytes > 0 {
        let why = if checked.used_by.is_some() {
            "being written"
        } else {
            "the next start cuts them"
        };
        writeln!(out, "torn end      {} bytes: {why}", checked.torn_bytes)?;
    }
    for segment in &checked.segments {
        let (used, size) = segment.bytes;
        writeln!(
            out,
            "segment       {}  records {} to {} in {} batches, {used} of {size} bytes, format {}",
            segment.name, segment.first.0, segment.last.0, segment.batches, segment.version
        )?;
    }
    for snapshot in &checked.snapshots {
        let state = snapshot.fault.as_deref().unwrap_or("good");
        writeln!(
            out,
            "snapshot      {}  {} bytes: {state}",
            snapshot.name, snapshot.bytes
        )?;
    }
    for seq in &checked.quarantined {
        writeln!(out, "quarantine    record {}", seq.0)?;
    }
    if checked.reserve_bytes > 0 {
        writeln!(out, "reserve       {} bytes", checked.reserve_bytes)?;
    }
    if let Some(hash) = checked.durable_hash {
        writeln!(out, "state         {hash:016x}")?;
    }
    for fault in &checked.faults {
        writeln!(out, "FAULT         {fault}")?;
    }
    if checked.faults.is_empty() {
        writeln!(out, "everything is in order")?;
    }
    Ok(())
}

fn document(checked: &Checked) -> Vec<u8> {
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("ok").bool(checked.faults.is_empty());
        j.key("dir").text(&checked.dir.display().to_string());
        let installation = checked.installation.map(|id| id.to_string());
        j.key("installation").text_or_null(installation.as_deref());
        j.key("used_by");
        match checked.used_by {
            None => j.null(),
            Some(pid) => j.int(pid),
        }
        j.key("first").int(checked.first.0);
        j.key("last").int(checked.last.0);
        j.key("proven_durable").int(checked.proven_durable.0);
        j.key("records").int(checked.records);
        j.key("batches").int(checked.batches);
        j.key("torn_bytes").int(checked.torn_bytes);
        j.key("reserve_bytes").int(checked.reserve_bytes);
        j.key("segments").array(|j| {
            for segment in &checked.segments {
                j.object(|j| {
                    j.key("file").text(&segment.name);
                    j.key("format").int(segment.version);
                    j.key("first").int(segment.first.0);
                    j.key("last").int(segment.last.0);
                    j.key("batches").int(segment.batches);
                    j.key("bytes_used").int(segment.bytes.0);
                    j.key("bytes").int(segment.bytes.1);
                });
            }
        });
        j.key("snapshots").array(|j| {
            for snapshot in &checked.snapshots {
                j.object(|j| {
                    j.key("file").text(&snapshot.name);
                    j.key("seq").int(snapshot.seq.0);
                    j.key("bytes").int(snapshot.bytes);
                    j.key("taken_at");
                    match snapshot.taken {
                        None => j.null(),
                        Some(taken) => j.int(taken.millis()),
                    }
                    j.key("fault").text_or_null(snapshot.fault.as_deref());
                });
            }
        });
        j.key("quarantined").array(|j| {
            for seq in &checked.quarantined {
                j.int(seq.0);
            }
        });
        let hash = checked.durable_hash.map(|hash| format!("{hash:016x}"));
        j.key("durable_hash").text_or_null(hash.as_deref());
        j.key("faults").array(|j| {
            for fault in &checked.faults {
                j.text(fault);
            }
        });
    });
    json.into_bytes()
}

/// Prints the records from `from` to `to`; the oldest and the newest, if they are not given.
pub fn dump(
    data_dir: &Path,
    (from, to): (Option<u64>, Option<u64>),
    json: bool,
    out: &mut dyn Write,
) -> Result<(), JournalToolError> {
    let dir = JournalConfig::new(data_dir).journal_dir();
    let oldest = Tail::oldest(&dir)?;
    let from = from.map_or(oldest, Seq);
    let mut tail = Tail::open(&dir, from)?;
    while let Some(records) = tail.next_written()? {
        for record in &records {
            if to.is_some_and(|to| record.seq.0 > to) {
                out.flush()?;
                return Ok(());
            }
            line(record, json, out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints the records from `from` on, else the last ones, and then each new one for as long as `go_on` says so.
pub fn tail(
    data_dir: &Path,
    from: Option<u64>,
    json: bool,
    out: &mut dyn Write,
    go_on: &dyn Fn(Duration) -> bool,
) -> Result<(), JournalToolError> {
    let dir = JournalConfig::new(data_dir).journal_dir();
    let mut held: std::collections::VecDeque<Sequenced> = std::collections::VecDeque::new();
    let mut tail = if let Some(from) = from {
        Tail::open(&dir, Seq(from))?
    } else {
        // The last segment has them, unless it was begun just now.
        let mut tail = Tail::open(&dir, Seq(u64::MAX))?.rewound()?;
        while let Some(records) = tail.next_written()? {
            held.extend(records);
            let old = held.len().saturating_sub(LAST);
            held.drain(..old);
        }
        tail
    };
    for record in &held {
        line(record, json, out)?;
    }
    loop {
        while let Some(records) = tail.next_written()? {
            for record in &records {
                line(record, json, out)?;
            }
        }
        out.flush()?;
        if !go_on(PERIOD) {
            return Ok(());
        }
    }
}

fn line(record: &Sequenced, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, record).map_err(io::Error::other)?;
        writeln!(out)
    } else {
        let ms = record.time.millis();
        writeln!(out, "{} {ms} {:?}", record.seq.0, record.record)
    }
}
