//! Recordings as the inputs of an engine: frames decoded, in the order and at the times of their receipt.
//!
//! Replay and backtest read recordings through this and nothing else, so that both see the same market.

use std::path::PathBuf;

use crate::kernel::event::{Input, LossReason, Lost, MarketData, MarketEvent, Stamped};
use crate::kernel::types::{Instrument, InstrumentId, Time, VenueId};
use crate::recording::{self, Reader, RecordingError, Scan, ScannedSymbol, is_hole};
use crate::venue::VenueRow;
use crate::venue::protocol::{Reading, TradeStream};

/// Faults that are kept in words.
const FAULTS_KEPT: usize = 5;

/// A recording that was looked through once: what it holds is known.
#[derive(Debug)]
pub struct Tape {
    venue: VenueId,
    files: Vec<PathBuf>,
    instruments: Vec<Instrument>,
    trades: Vec<TradeStream>,
    /// Receipt of its first frame.
    pub first: Option<Time>,
    /// Receipt of its last frame.
    pub last: Option<Time>,
}

/// A recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The files.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Nothing in them.
    #[error("the recording holds no instrument of {0}: is --exchange right?")]
    Empty(VenueId),
}

/// What was read. Malformed frames are counted and change nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Lines read.
    pub frames: u64,
    /// Market events of known instruments.
    pub events: u64,
    /// Places where the recorder missed frames, or a connection began.
    pub holes: u64,
    /// Lines and frames that could not be read.
    pub errors: u64,
    /// The first of them, in words.
    pub faults: Vec<String>,
}

impl Tape {
    /// Looks through files, in the order of time; a directory stands for all of its files.
    pub fn open(files: &[PathBuf], venue: VenueId) -> Result<Self, TapeError> {
        let files = recording::files(files, venue)?;
        let scan = recording::scan(&files, venue)?;
        let Scan { first, last, .. } = scan;
        let trades = scan
            .symbols
            .iter()
            .map(ScannedSymbol::trade_stream)
            .collect();
        let instruments: Vec<Instrument> = scan.symbols.into_iter().map(|s| s.instrument).collect();
        if instruments.is_empty() {
            return Err(TapeError::Empty(venue));
        }
        Ok(Self {
            venue,
            files,
            instruments,
            trades,
            first,
            last,
        })
    }

    /// The instruments of the recording, as its frames or its own listings describe them.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// Plays it from its beginning; `ids` are the instruments' in the engine. At a hole nobody knows what
    /// happened: every book waits for its next snapshot.
    pub fn play(
        &self,
        ids: &[InstrumentId],
        hear: &mut dyn FnMut(Stamped),
    ) -> Result<Counts, RecordingError> {
        let readings: Vec<Reading<'_>> = ids
            .iter()
            .zip(&self.instruments)
            .zip(&self.trades)
            .map(|((id, instrument), trades)| Reading {
                id: *id,
                instrument,
                trades: *trades,
            })
            .collect();
        let decoder = VenueRow::of(self.venue).protocol.decoder(&readings);
        let mut counts = Counts::default();
        let mut events = Vec::new();
        let mut reader = Reader::new(&self.files);
        while let Some(record) = reader.next_record() {
            if let Ok(record) = &record
                && is_hole(record.frame).is_some()
            {
                counts.holes += 1;
                for id in ids {
                    hear(lost(*id, record.received));
                }
                continue;
            }
            counts.frames += 1;
            let fault = match record {
                Ok(record) => {
                    let said = decoder.decode(record.frame, record.received, &mut events);
                    for event in events.drain(..) {
                        counts.events += 1;
                        let time = event.received;
                        let input = Input::Market(event);
                        hear(Stamped { time, input });
                    }
                    said.err().map(|error| error.to_string())
                }
                Err(error) if error.is_passable() => Some(error.to_string()),
                Err(error) => return Err(error),
            };
            if let Some(why) = fault {
                counts.errors += 1;
                if counts.faults.len() < FAULTS_KEPT {
                    let (file, line) = reader.position();
                    counts
                        .faults
                        .push(format!("{}:{line}: {why}", file.display()));
                }
            }
        }
        Ok(counts)
    }
}

fn lost(id: InstrumentId, time: Time) -> Stamped {
    let event = MarketEvent {
        instrument: id,
        venue_time: time,
        received: time,
        data: MarketData::Lost(LossReason::Disconnected, Lost::All),
    };
    Stamped {
        time,
        input: Input::Market(event),
    }
}
