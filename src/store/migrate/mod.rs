//! `hean keydb migrate` and `verify`: keys from one Redis, KeyDB or Valkey to another.
//!
//! The source is only read. What the target is sent may be sent again without harm, so an attempt
//! that was cut off anywhere is gone on with, or begun anew.

mod chunks;
mod compare;
mod copy;
mod dump;
mod error;
mod glob;
mod live;
mod notices;
mod pair;
mod pieces;
mod progress;
mod report;
mod selection;
mod state;
mod stream_copy;
mod streams;
mod ttl;
mod values;

pub use compare::{Difference, What};
pub use error::ToolError;
pub use pair::Failure;
pub use progress::Progress;
pub use report::{Report, Verdict};
pub use selection::Wish;

use crate::store::wire::{Facts, Peer};
use compare::{Closeness, Pass};
use copy::Job;
use pair::{Pair, Tally};
use selection::Selection;
use state::State;

/// First part of the names that we use in the target.
const OWN: &[u8] = b"hean:migrate:";
/// How far a migration is.
const STATE_KEY: &[u8] = b"hean:migrate:state";
/// A large key until it is complete.
const TEMP_KEY: &[u8] = b"hean:migrate:part";
/// Databases that a server may have, as far as a count of batches cares.
const DATABASES_MAX: u64 = 65_536;

/// What to copy or compare, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the keys are.
    pub source: Peer,
    /// Where they are to be.
    pub target: Peer,
    /// Which keys.
    pub wish: Wish,
    /// By the commands of their type, though `DUMP` and `RESTORE` might do.
    pub by_type: bool,
    /// The target may hold keys already.
    pub overwrite: bool,
    /// Follows changes until a signal.
    pub live: bool,
    /// Difference of expiry that is none, in milliseconds.
    pub expiry_tolerance_ms: u32,
    /// Differences that are listed; all are counted.
    pub listed_max: usize,
}

impl Options {
    fn close(&self) -> Closeness {
        Closeness {
            expiry_ms: i64::from(self.expiry_tolerance_ms),
        }
    }
}

/// Copies; with `live` until a signal.
pub async fn migrate(options: &Options, progress: &mut Progress) -> Result<Report, ToolError> {
    let selection = Selection::new(&options.wish, &options.source, &options.target)?;
    let mut report = if options.live {
        live::run(options, &selection, options.close(), progress).await?
    } else {
        once(options, &selection, progress).await?
    };
    progress.clear();
    report.seconds = progress.seconds();
    Ok(report)
}

async fn once(
    options: &Options,
    selection: &Selection,
    progress: &mut Progress,
) -> Result<Report, ToolError> {
    let Options { source, target, .. } = options;
    let (mut pair, source_facts, target_facts) =
        Pair::open(source, target, options.by_type).await?;
    check(&source_facts, &target_facts, options, selection)?;
    let job = Job {
        source,
        selection,
        overwrite: options.overwrite,
        mirror: false,
    };
    let mut tally = Tally::default();
    let facts = (&source_facts, &target_facts);
    let resumed = copy::run(&job, &mut pair, facts, &mut tally, progress).await?;
    State::remove(&mut pair, copy::home(selection)).await?;
    let mut report = Report {
        resumed,
        ..Report::default()
    };
    report.take(tally);
    Ok(report)
}

/// What makes two servers no pair.
fn check(
    source: &Facts,
    target: &Facts,
    options: &Options,
    selection: &Selection,
) -> Result<(), ToolError> {
    let (from, to) = (options.source.name(), options.target.name());
    if target.cluster {
        return Err(ToolError::Setup(format!(
            "the target {to} is a node of a cluster: this tool writes to standalone servers only"
        )));
    }
    if source.run_id == target.run_id && selection.overlaps() {
        return Err(ToolError::Usage(format!(
            "{from} and {to} are the same server, and the same database of it"
        )));
    }
    Ok(())
}

/// Compares, and changes nothing.
pub async fn verify(options: &Options, progress: &mut Progress) -> Result<Verdict, ToolError> {
    let Options { source, target, .. } = options;
    let selection = Selection::new(&options.wish, source, target)?;
    let (mut pair, source_facts, target_facts) =
        Pair::open(source, target, options.by_type).await?;
    check(&source_facts, &target_facts, options, &selection)?;
    let databases = selection.databases(&[&source_facts, &target_facts]);
    let total = selection.keys(&source_facts) + selection.keys(&target_facts);
    let mut pass = Pass::new(&databases);
    let mut verdict = Verdict::default();
    while let Some((_, differences)) = pass.step(&mut pair, &selection, options.close()).await? {
        for difference in differences {
            verdict.add(difference, options.listed_max);
        }
        progress.show("compare", pass.seen, total);
    }
    progress.clear();
    verdict.keys = pass.compared;
    verdict.seconds = progress.seconds();
    Ok(verdict)
}
