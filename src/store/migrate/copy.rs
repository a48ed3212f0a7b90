//! The copy of everything that is meant: one connection reads ahead while another writes.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::dump::{self, Dumped};
use super::error::ToolError;
use super::pair::{Key, Pair, Tally, Traits, sorted};
use super::progress::Progress;
use super::selection::Selection;
use super::state::{Earlier, State};
use crate::store::wire::{Connection, Facts, Peer, WireError};

/// Parcels between reader and writer: each of some megabytes.
const AHEAD: usize = 2;

/// What is copied, and how.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) source: &'a Peer,
    pub(crate) selection: &'a Selection,
    pub(crate) overwrite: bool,
    /// Whether keys that are gone from the source go from the target.
    pub(crate) mirror: bool,
}

/// Keys on their way.
struct Parcel {
    db: u16,
    into: u16,
    dumped: Vec<Dumped>,
    by_type: Vec<Key>,
    gone: Vec<Key>,
    scanned: u64,
    /// Where to go on when this is written: database and cursor.
    mark: Option<(Option<u16>, Vec<u8>)>,
}

/// The first database of the target that is written to: the state's home.
pub(crate) fn home(selection: &Selection) -> u16 {
    let named = selection.databases(&[]);
    named.first().map_or(0, |(_, into)| *into)
}

/// Copies all, or what an earlier attempt left. Returns how many keys that had brought.
pub(crate) async fn run(
    job: &Job<'_>,
    pair: &mut Pair,
    facts: (&Facts, &Facts),
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<u64, ToolError> {
    let (source, target) = facts;
    let home = home(job.selection);
    let mut state = State::new(job.source.name(), &source.run_id, job.selection.text());
    match state.earlier(pair, home).await? {
        Earlier::Resume(earlier) => {
            progress.say(&format!(
                "an earlier attempt brought {} keys: going on behind them",
                earlier.copied
            ));
            state = *earlier;
        }
        Earlier::Restart => {
            progress.say("the source was restarted since the earlier attempt: copying anew, over what is there");
        }
        Earlier::None | Earlier::Other if job.overwrite => {}
        Earlier::None | Earlier::Other => {
            must_be_empty(pair, job.selection, source, target).await?;
        }
    }
    let earlier = state.copied;
    let databases = job.selection.databases(&[source]);
    for (_, into) in &databases {
        pair.target.select(*into).await?;
        pair.target.ask(&[b"DEL", super::TEMP_KEY]).await?;
    }
    let Some(first) = state.db else {
        return Ok(earlier);
    };
    state.save(pair, home).await?;
    let rest: Vec<(u16, u16)> = databases
        .into_iter()
        .filter(|(db, _)| *db >= first)
        .collect();
    let start = match rest.first() {
        Some((db, _)) if *db == first => state.cursor.clone().into_bytes(),
        _ => b"0".to_vec(),
    };
    let reader = job.source.connect().await?;
    let by_type = AtomicBool::new(pair.traits.by_type);
    let (to, from) = mpsc::channel(AHEAD);
    let read = read(
        reader,
        job.selection,
        (&rest, start),
        (pair.traits, &by_type),
        to,
    );
    let total = job.selection.keys(source);
    let write = write(
        job,
        pair,
        (&mut state, home),
        &by_type,
        from,
        tally,
        |scanned| {
            progress.show("copy", earlier + scanned, total);
        },
    );
    // Whichever fails ends the other: both ends of the channel are theirs.
    let (read, write) = tokio::join!(read, write);
    write?;
    read?;
    progress.clear();
    Ok(earlier)
}

/// A target that holds something else is not written over unasked.
async fn must_be_empty(
    pair: &mut Pair,
    selection: &Selection,
    source: &Facts,
    target: &Facts,
) -> Result<(), ToolError> {
    for (_, into) in selection.databases(&[source, target]) {
        pair.target.select(into).await?;
        let mut cursor = b"0".to_vec();
        loop {
            let (next, keys, _) = selection.scan(&mut pair.target, &cursor).await?;
            if let Some(key) = keys.first() {
                return Err(ToolError::Setup(format!(
                    "the target {} holds keys already, such as {} in database {into}: empty it, choose \
                     another one, or write over them with --overwrite",
                    pair.target.name(),
                    key.escape_ascii(),
                )));
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}

/// Scans and reads, until all is read or nobody writes any more.
async fn read(
    mut source: Connection,
    selection: &Selection,
    (databases, start): (&[(u16, u16)], Vec<u8>),
    (traits, by_type): (Traits, &AtomicBool),
    to: mpsc::Sender<Parcel>,
) -> Result<(), WireError> {
    let mut cursor = start;
    for (at, (db, into)) in databases.iter().enumerate() {
        source.select(*db).await?;
        loop {
            let (next, keys, scanned) = selection.scan(&mut source, &cursor).await?;
            let mut parcels = parcels(&mut source, &traits, by_type, (*db, *into), keys).await?;
            if let Some(last) = parcels.last_mut() {
                last.scanned = scanned;
                last.mark = Some(if next == b"0" {
                    (databases.get(at + 1).map(|(db, _)| *db), next.clone())
                } else {
                    (Some(*db), next.clone())
                });
            }
            for parcel in parcels {
                if to.send(parcel).await.is_err() {
                    return Ok(()); // the writer has said why
                }
            }
            cursor = next;
            if cursor == b"0" {
                break;
            }
        }
    }
    Ok(())
}

/// One step of the scan, in parcels of bounded size; there is always one.
async fn parcels(
    source: &mut Connection,
    traits: &Traits,
    by_type: &AtomicBool,
    (db, into): (u16, u16),
    keys: Vec<Key>,
) -> Result<Vec<Parcel>, WireError> {
    let parcel = || Parcel {
        db,
        into,
        dumped: Vec::new(),
        by_type: Vec::new(),
        gone: Vec::new(),
        scanned: 0,
        mark: None,
    };
    if by_type.load(Ordering::Relaxed) {
        let mut parcel = parcel();
        parcel.by_type = keys;
        return Ok(vec![parcel]);
    }
    let sorted = sorted(source, keys).await?;
    let mut out = Vec::with_capacity(sorted.groups.len() + 1);
    for group in sorted.groups {
        let read = dump::read(source, traits, group).await?;
        out.push(Parcel {
            dumped: read.dumped,
            by_type: read.refused,
            gone: read.gone,
            ..parcel()
        });
    }
    out.push(Parcel {
        by_type: sorted.large,
        gone: sorted.gone,
        ..parcel()
    });
    Ok(out)
}

/// Writes parcels in their order, and notes how far it is.
async fn write(
    job: &Job<'_>,
    pair: &mut Pair,
    (state, home): (&mut State, u16),
    by_type: &AtomicBool,
    mut from: mpsc::Receiver<Parcel>,
    tally: &mut Tally,
    mut show: impl FnMut(u64),
) -> Result<(), WireError> {
    let (already, mut scanned) = (state.copied, 0);
    while let Some(parcel) = from.recv().await {
        pair.target.select(parcel.into).await?;
        let refused = dump::write(&mut pair.target, &mut pair.traits, parcel.dumped, tally).await?;
        by_type.store(pair.traits.by_type, Ordering::Relaxed);
        let mut gone = parcel.gone;
        let slow: Vec<Key> = refused.into_iter().chain(parcel.by_type).collect();
        if !slow.is_empty() {
            pair.select(parcel.db, parcel.into).await?;
            gone.extend(pair.copy_by_type(parcel.db, slow, tally).await?);
        }
        tally.gone += gone.len() as u64;
        if job.mirror {
            pair.remove(&gone).await?;
        }
        scanned += parcel.scanned;
        if let Some((db, cursor)) = parcel.mark {
            state.db = db;
            state.cursor = String::from_utf8_lossy(&cursor).into_owned();
            state.copied = already + tally.copied();
            state.save(pair, home).await?;
        }
        show(scanned);
    }
    Ok(())
}

impl Pair {
    /// Removes keys from the target's selected database.
    pub(crate) async fn remove(&mut self, keys: &[Key]) -> Result<(), WireError> {
        for keys in keys.chunks(1_000) {
            let mut words = vec![&b"DEL"[..]];
            words.extend(keys.iter().map(Vec::as_slice));
            self.target.ask(&words).await?;
        }
        Ok(())
    }
}
