//! One full pass over a recording: which symbols it holds, at which scales, from which streams.
//!
//! A recording without exchange information has to name its own scales: the most decimal digits
//! that any price or quantity of the symbol shows. The same files give the same answer.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Event, Frame, Reader, RecordingError, TextLevel, is_hole};
use crate::kernel::types::{
    Contract, Instrument, InstrumentName, Rate, Scale, Time, VenueId, normalise_symbol,
};
use crate::venue::protocol::TradeStream;

/// Symbols that one recording may hold; frames of further ones are counted as malformed.
const SYMBOLS_MAX: usize = 1_024;
/// Snapshots that are kept until their symbol is known; later ones are played but not looked up.
const SNAPSHOTS_MAX: usize = 64;
/// Fee where nobody says another one: 0.1 %.
const FEE: Rate = Rate(100_000);
/// Quote assets, tried in this order; those that end like another one come before it.
const QUOTES: [&str; 18] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "DAI", "USD", "BTC", "ETH", "BNB", "EUR",
    "TRY", "GBP", "BRL", "AUD", "JPY", "UAH",
];

/// What a recording holds.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Symbols in the order of their first frame.
    pub symbols: Vec<ScannedSymbol>,
    /// Frames that could be read.
    pub frames: u64,
    /// Places where frames are missing, as the recorder marked them.
    pub holes: u64,
    /// Lines and frames that could not.
    pub malformed: u64,
    /// The first of them, in words.
    pub first_fault: Option<String>,
    /// Receive time of the first frame.
    pub first: Option<Time>,
    /// Receive time of the last frame.
    pub last: Option<Time>,
}

/// What a recording holds of one symbol.
#[derive(Debug, Clone)]
pub struct ScannedSymbol {
    /// The instrument at its inferred scales.
    pub instrument: Instrument,
    /// Streams and how many frames came from each.
    pub streams: BTreeMap<String, u64>,
    /// The first recorded REST depth snapshot, as recorded.
    pub snapshot: Option<Vec<u8>>,
}

impl ScannedSymbol {
    /// The trade stream that candles are made of: single executions where they were recorded.
    pub fn trade_stream(&self) -> TradeStream {
        if self.streams.keys().any(|stream| stream.ends_with("@trade")) {
            TradeStream::Every
        } else {
            TradeStream::Aggregate
        }
    }
}

#[derive(Default)]
struct Seen {
    price_digits: usize,
    qty_digits: usize,
    streams: BTreeMap<String, u64>,
    /// Update ids of the depth events: first `U` and last `u`.
    ids: Option<(u64, u64)>,
    /// Some price, to tell symbols with overlapping ids apart.
    price: Option<f64>,
    snapshot: Option<Vec<u8>>,
}

/// The instruments of a recording, at inferred scales, in the order of their first frame.
pub fn infer<P: AsRef<Path>>(
    files: &[P],
    venue: VenueId,
) -> Result<Vec<Instrument>, RecordingError> {
    let scan = scan(files, venue)?;
    Ok(scan.symbols.into_iter().map(|s| s.instrument).collect())
}

/// Reads a whole recording. Malformed lines are counted, an unreadable file is an error.
pub fn scan<P: AsRef<Path>>(files: &[P], venue: VenueId) -> Result<Scan, RecordingError> {
    let mut reader = Reader::new(files);
    let mut scan = Scan::default();
    let mut order: Vec<String> = Vec::new();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut snapshots: Vec<(Option<String>, Vec<u8>)> = Vec::new();
    while let Some(record) = reader.next_record() {
        let fault = match record {
            Ok(record) if is_hole(record.frame).is_some() => {
                scan.holes += 1;
                None
            }
            Ok(record) => {
                let received = record.received;
                match Frame::parse(record.frame) {
                    Ok(frame) => {
                        scan.frames += 1;
                        scan.first.get_or_insert(received);
                        scan.last = Some(received);
                        if matches!(frame.event, Event::Snapshot { .. }) {
                            if snapshots.len() < SNAPSHOTS_MAX {
                                let data = frame.data.as_bytes().to_vec();
                                snapshots.push((frame.snapshot_symbol(), data));
                            }
                            None
                        } else {
                            look_at(&frame, &mut order, &mut seen).err()
                        }
                    }
                    Err(error) => Some(error.to_string()),
                }
            }
            Err(error) if error.is_passable() => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        if let Some(fault) = fault {
            scan.malformed += 1;
            if scan.first_fault.is_none() {
                let (file, line) = reader.position();
                scan.first_fault = Some(format!("{}:{line}: {fault}", file.display()));
            }
        }
    }
    for (symbol, snapshot) in snapshots {
        attribute(symbol.as_deref(), snapshot, &mut seen);
    }
    scan.symbols = order
        .into_iter()
        .filter_map(|symbol| {
            let seen = seen.remove(&symbol)?;
            scanned(symbol, seen, venue)
        })
        .collect();
    Ok(scan)
}

fn look_at(
    frame: &Frame<'_>,
    order: &mut Vec<String>,
    all: &mut BTreeMap<String, Seen>,
) -> Result<(), String> {
    let symbol = match &frame.event {
        Event::Depth { symbol, .. }
        | Event::Trade { symbol, .. }
        | Event::AggTrade { symbol, .. }
        | Event::Quote { symbol, .. }
        | Event::Other {
            symbol: Some(symbol),
            ..
        } => symbol.as_ref(),
        Event::Snapshot { .. } | Event::Other { symbol: None, .. } => return Ok(()),
    };
    if normalise_symbol(symbol).as_deref() != Ok(symbol) {
        return Err(format!("{symbol:?} is no symbol"));
    }
    if !all.contains_key(symbol) {
        if order.len() >= SYMBOLS_MAX {
            return Err(format!(
                "more than {SYMBOLS_MAX} symbols; {symbol} is left out"
            ));
        }
        order.push(symbol.to_owned());
    }
    let seen = all.entry(symbol.to_owned()).or_default();
    if let Some(stream) = frame.stream_name() {
        match seen.streams.get_mut(stream.as_ref()) {
            Some(count) => *count += 1,
            None => {
                seen.streams.insert(stream.into_owned(), 1);
            }
        }
    }
    seen.levels(&frame.numbers);
    match &frame.event {
        Event::Depth {
            first_id,
            last_id,
            bids,
            asks,
            ..
        } => {
            seen.levels(bids);
            seen.levels(asks);
            let first = seen.ids.map_or(*first_id, |(first, _)| first);
            seen.ids = Some((first, *last_id));
        }
        Event::Trade { price, qty, .. } | Event::AggTrade { price, qty, .. } => {
            seen.number(price, qty);
        }
        Event::Quote { bid, ask, .. } => seen.levels(&[*bid, *ask]),
        Event::Snapshot { .. } | Event::Other { .. } => {}
    }
    Ok(())
}

impl Seen {
    fn levels(&mut self, levels: &[TextLevel<'_>]) {
        for [price, qty] in levels {
            self.number(price, qty);
        }
    }

    fn number(&mut self, price: &str, qty: &str) {
        self.price_digits = self.price_digits.max(significant_digits(price));
        self.qty_digits = self.qty_digits.max(significant_digits(qty));
        if self.price.is_none() {
            self.price = price.parse().ok();
        }
    }
}

/// Gives a snapshot to its symbol. Without one: to that whose update ids it lies in; of several to
/// the one that trades nearest to its prices. The first snapshot of a symbol stays.
fn attribute(symbol: Option<&str>, snapshot: Vec<u8>, all: &mut BTreeMap<String, Seen>) {
    let owned = snapshot.clone();
    let Ok(Frame {
        event: Event::Snapshot {
            last_id,
            bids,
            asks,
        },
        ..
    }) = Frame::parse(&owned)
    else {
        return;
    };
    let digits = |at: usize| {
        let levels = bids.iter().chain(&asks);
        levels
            .map(|level| significant_digits(level[at]))
            .max()
            .unwrap_or(0)
    };
    let best: Option<f64> = bids.first().and_then(|level| level[0].parse().ok());
    let alone = all.len() == 1;
    let owner = all
        .iter_mut()
        .filter(|(name, seen)| match symbol {
            Some(symbol) => *name == symbol,
            None => seen.ids.is_some_and(|(first, last)| {
                alone || (first <= last_id.saturating_add(1) && last_id <= last)
            }),
        })
        .map(|(_, seen)| seen)
        .min_by(|a, b| {
            let distance = |seen: &Seen| match (best, seen.price) {
                (Some(best), Some(price)) => (libm::log(best) - libm::log(price)).abs(),
                _ => f64::INFINITY,
            };
            distance(a).total_cmp(&distance(b))
        });
    if let Some(seen) = owner {
        seen.price_digits = seen.price_digits.max(digits(0));
        seen.qty_digits = seen.qty_digits.max(digits(1));
        if seen.snapshot.is_none() {
            seen.snapshot = Some(snapshot);
        }
    }
}

fn scanned(symbol: String, seen: Seen, venue: VenueId) -> Option<ScannedSymbol> {
    let scale = |digits: usize| Scale::new(u8::try_from(digits).ok()?.min(Scale::MAX));
    let (base, quote) = split_symbol(&symbol);
    Some(ScannedSymbol {
        instrument: Instrument {
            contract: match venue {
                VenueId::BinanceUsdm | VenueId::BybitLinear => Contract::LinearPerpetual,
                VenueId::Binance | VenueId::BybitSpot | VenueId::Sim => Contract::Spot,
            },
            maker_fee: FEE,
            taker_fee: FEE,
            ..Instrument::unlimited(
                InstrumentName { venue, symbol },
                &base,
                &quote,
                (scale(seen.price_digits)?, scale(seen.qty_digits)?),
            )
        },
        streams: seen.streams,
        snapshot: seen.snapshot,
    })
}

/// Digits behind the point without trailing zeros; 0 for what is no number.
fn significant_digits(text: &str) -> usize {
    match text.split_once('.') {
        Some((_, fraction)) if fraction.bytes().all(|c| c.is_ascii_digit()) => {
            fraction.trim_end_matches('0').len()
        }
        _ => 0,
    }
}

/// Base and quote asset of a symbol, guessed from the usual quote assets. A symbol that ends in
/// none of them is split before its last three letters; a shorter one is called a base in USDT.
pub fn split_symbol(symbol: &str) -> (String, String) {
    let known = QUOTES.into_iter().find_map(|quote| {
        let base = symbol.strip_suffix(quote)?;
        (!base.is_empty()).then_some((base, quote))
    });
    let guessed = || {
        let at = symbol.char_indices().rev().nth(2).map(|(at, _)| at)?;
        (at > 0).then(|| symbol.split_at(at))
    };
    let (base, quote) = known.or_else(guessed).unwrap_or((symbol, "USDT"));
    (base.to_owned(), quote.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zeros_say_nothing() {
        for (text, digits) in [
            ("61837.64000000", 2),
            ("0.00011000", 5),
            ("7", 0),
            ("7.000", 0),
            ("0.123456789", 9),
            ("x.y", 0),
        ] {
            assert_eq!(significant_digits(text), digits, "{text}");
        }
    }

    #[test]
    fn symbols_are_split_at_the_usual_quote_assets() {
        for (symbol, base, quote) in [
            ("BTCUSDT", "BTC", "USDT"),
            ("ETHBTC", "ETH", "BTC"),
            ("BTCFDUSD", "BTC", "FDUSD"),
            ("BNBETH", "BNB", "ETH"),
            ("USDTTRY", "USDT", "TRY"),
            ("BTC", "BTC", "USDT"),
            ("ABCXYZ", "ABC", "XYZ"),
            ("币安人生USDT", "币安人生", "USDT"),
        ] {
            assert_eq!(
                split_symbol(symbol),
                (base.to_owned(), quote.to_owned()),
                "{symbol}"
            );
        }
    }
}
