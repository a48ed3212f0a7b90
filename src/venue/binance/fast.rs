//! The frequent frames, in the exact form that Binance sends them: keys in their usual order, no
//! blanks, no escapes. One pass over the bytes, from the first to the last.
//!
//! Whatever differs is `None`, and the strict reader of `decode.rs` decides. Invariant: a frame that is
//! read here is read there, to the same values (the tests hold the two together). All of it is ASCII, so
//! UTF-8 needs no check of its own.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use super::symbols::{Guesses, Slot, Symbols};
use crate::kernel::event::{Level, Quote};
use crate::kernel::types::{Price, Qty, Side, Time};
use crate::venue::digits::Cursor;

/// What a frame says of one instrument.
#[derive(Debug)]
pub(super) struct Frame {
    /// The instrument's index, as given to [`Symbols::new`].
    pub(super) index: usize,
    /// `E`. The spot `bookTicker` has none.
    pub(super) event_time: Option<Time>,
    /// The facts.
    pub(super) body: Body,
}

/// The facts of a frame.
#[derive(Debug)]
pub(super) enum Body {
    /// `bookTicker`.
    Quote(Quote),
    /// `trade` or `aggTrade`.
    Execution(Execution),
    /// `depthUpdate`, not of a partial book.
    Depth {
        /// `U`.
        first_id: u64,
        /// `u`, not below `U`.
        last_id: u64,
        /// `pu`, which futures have.
        prev_id: Option<u64>,
        /// `b`.
        bids: Vec<Level>,
        /// `a`.
        asks: Vec<Level>,
    },
}

/// One execution, or several at one price.
#[derive(Debug, Clone, Copy)]
pub(super) struct Execution {
    /// `t` or `a`.
    pub(super) id: u64,
    /// `f` and `l` of an `aggTrade`, in order.
    pub(super) trades: Option<(u64, u64)>,
    pub(super) price: Price,
    /// Not zero.
    pub(super) qty: Qty,
    pub(super) taker: Side,
    /// `T`.
    pub(super) time: Time,
}

/// Reads a frame of a known instrument.
#[inline]
pub(super) fn read(frame: &[u8], symbols: &Symbols) -> Option<Frame> {
    let mut at = Cursor::new(frame);
    let combined = at.eat(b"{\"stream\":\"").is_some();
    if combined {
        stream(&mut at)?;
        at.eat(b",\"data\":{")?;
    } else {
        at.eat(b"{")?;
    }
    let frame = if at.eat(b"\"u\":").is_some() {
        quote(&mut at, symbols)
    } else if at.eat(b"\"e\":\"bookTicker\",\"u\":").is_some() {
        quote(&mut at, symbols).filter(|f| f.event_time.is_some())
    } else if at.eat(b"\"e\":\"trade\",\"E\":").is_some() {
        trade(&mut at, symbols)
    } else if at.eat(b"\"e\":\"depthUpdate\",\"E\":").is_some() {
        depth(&mut at, symbols)
    } else {
        at.eat(b"\"e\":\"aggTrade\",\"E\":")?;
        aggregate(&mut at, symbols)
    }?;
    at.eat(b"}")?;
    if combined {
        at.eat(b"}")?;
    }
    at.is_at_end().then_some(frame)
}

/// The name of a stream, after its opening quote. Not of a partial book (`@depth20`), whose frames look
/// like others and mean something else.
#[inline]
fn stream(at: &mut Cursor<'_>) -> Option<()> {
    at.skip_to_at()?;
    if at.eat(b"@depth").is_some() {
        at.eat(b"\"").or_else(|| {
            at.eat(b"@")?;
            at.skip_string()
        })
    } else {
        at.eat(b"@bookTicker\"")
            .or_else(|| at.eat(b"@trade\""))
            .or_else(|| at.eat(b"@aggTrade\""))
    }
}

/// After `"s":`, the comma before it included.
#[inline]
fn symbol<'a>(at: &mut Cursor<'_>, symbols: &'a Symbols) -> Option<&'a Slot> {
    at.eat(b",\"s\":\"")?;
    let key = at.key()?;
    if at.eat(b",\"ps\":\"").is_some() {
        at.skip_string()?;
    }
    symbols.find(key)
}

#[inline]
fn quote(at: &mut Cursor<'_>, symbols: &Symbols) -> Option<Frame> {
    let update_id = at.id()?;
    let known = symbol(at, symbols)?;
    let before = known.guesses.load();
    let mut guesses = before;
    at.eat(b",\"b\":\"")?;
    let bid_price = price(at, known, &mut guesses)?;
    at.eat(b"\",\"B\":\"")?;
    let bid_qty = qty(at, known, &mut guesses)?;
    at.eat(b"\",\"a\":\"")?;
    let ask_price = price(at, known, &mut guesses)?;
    at.eat(b"\",\"A\":\"")?;
    let ask_qty = qty(at, known, &mut guesses)?;
    at.eat(b"\"")?;
    let mut event_time = None;
    if at.eat(b",\"T\":").is_some() {
        at.id()?;
        at.eat(b",\"E\":")?;
        event_time = Some(at.time()?);
        linear(at);
    }
    known.guesses.store(before, guesses);
    let level = |price, qty| Level { price, qty };
    Some(Frame {
        index: known.index,
        event_time,
        body: Body::Quote(Quote {
            update_id,
            bid: level(bid_price, bid_qty),
            ask: level(ask_price, ask_qty),
        }),
    })
}

#[inline]
fn trade(at: &mut Cursor<'_>, symbols: &Symbols) -> Option<Frame> {
    let event_time = at.time()?;
    // On futures the time of the trade comes here, on spot behind the quantity.
    let early = match at.eat(b",\"T\":") {
        Some(()) => Some(at.time()?),
        None => None,
    };
    let known = symbol(at, symbols)?;
    let before = known.guesses.load();
    let mut guesses = before;
    at.eat(b",\"t\":")?;
    let id = at.id_like(&mut guesses.trade_id)?;
    let (price, qty) = price_and_qty(at, known, &mut guesses)?;
    known.guesses.store(before, guesses);
    let time = if let Some(time) = early {
        time
    } else {
        at.eat(b",\"T\":")?;
        at.time()?
    };
    if at.eat(b",\"X\":\"").is_some() {
        at.eat(b"MARKET\"")?;
    }
    let taker = taker(at)?;
    Some(Frame {
        index: known.index,
        event_time: Some(event_time),
        body: Body::Execution(Execution {
            id,
            trades: None,
            price,
            qty,
            taker,
            time,
        }),
    })
}

#[inline]
fn aggregate(at: &mut Cursor<'_>, symbols: &Symbols) -> Option<Frame> {
    let event_time = at.time()?;
    // Futures give the id before the symbol, spot after it.
    let early = match at.eat(b",\"a\":") {
        Some(()) => Some(at.id()?),
        None => None,
    };
    let known = symbol(at, symbols)?;
    let id = if let Some(id) = early {
        id
    } else {
        at.eat(b",\"a\":")?;
        at.id()?
    };
    let before = known.guesses.load();
    let mut guesses = before;
    let (price, qty) = price_and_qty(at, known, &mut guesses)?;
    known.guesses.store(before, guesses);
    if at.eat(b",\"nq\":\"").is_some() {
        at.skip_string()?;
    }
    at.eat(b",\"f\":")?;
    let first = at.id()?;
    at.eat(b",\"l\":")?;
    let last = at.id().filter(|last| *last >= first)?;
    at.eat(b",\"T\":")?;
    let time = at.time()?;
    let taker = taker(at)?;
    Some(Frame {
        index: known.index,
        event_time: Some(event_time),
        body: Body::Execution(Execution {
            id,
            trades: Some((first, last)),
            price,
            qty,
            taker,
            time,
        }),
    })
}

#[inline]
fn depth(at: &mut Cursor<'_>, symbols: &Symbols) -> Option<Frame> {
    let event_time = at.time()?;
    if at.eat(b",\"T\":").is_some() {
        at.id()?;
    }
    let known = symbol(at, symbols)?;
    let before = known.guesses.load();
    let mut guesses = before;
    at.eat(b",\"U\":")?;
    let first_id = at.id_like(&mut guesses.update_id)?;
    at.eat(b",\"u\":")?;
    let last_id = at.id_like(&mut guesses.update_id)?;
    if last_id < first_id {
        return None;
    }
    let prev_id = match at.eat(b",\"pu\":") {
        Some(()) => Some(at.id_like(&mut guesses.update_id)?),
        None => None,
    };
    at.eat(b",\"b\":")?;
    let bids = levels(at, known, &mut guesses)?;
    at.eat(b",\"a\":")?;
    let asks = levels(at, known, &mut guesses)?;
    known.guesses.store(before, guesses);
    linear(at);
    Some(Frame {
        index: known.index,
        event_time: Some(event_time),
        body: Body::Depth {
            first_id,
            last_id,
            prev_id,
            bids,
            asks,
        },
    })
}

/// `p` and `q` of an execution.
#[inline]
fn price_and_qty(at: &mut Cursor<'_>, known: &Slot, guesses: &mut Guesses) -> Option<(Price, Qty)> {
    at.eat(b",\"p\":\"")?;
    let price = price(at, known, guesses)?;
    at.eat(b"\",\"q\":\"")?;
    let qty = qty(at, known, guesses).filter(|q| *q > Qty::ZERO)?;
    at.eat(b"\"")?;
    Some((price, qty))
}

#[inline]
fn price(at: &mut Cursor<'_>, known: &Slot, guesses: &mut Guesses) -> Option<Price> {
    let price = at.fixed(known.price, &mut guesses.price);
    price.filter(|p| *p > 0).map(Price)
}

#[inline]
fn qty(at: &mut Cursor<'_>, known: &Slot, guesses: &mut Guesses) -> Option<Qty> {
    at.fixed(known.qty, &mut guesses.qty).map(Qty)
}

#[inline]
fn levels(at: &mut Cursor<'_>, known: &Slot, guesses: &mut Guesses) -> Option<Vec<Level>> {
    let price = (known.price, &mut guesses.price);
    at.levels(price, (known.qty, &mut guesses.qty))
}

/// `m`, whether the buyer is the maker, and the end of an execution.
#[inline]
fn taker(at: &mut Cursor<'_>) -> Option<Side> {
    at.eat(b",\"m\":")?;
    let taker = if at.eat(b"true").is_some() {
        Side::Sell
    } else {
        at.eat(b"false")?;
        Side::Buy
    };
    if at.eat(b",\"M\":").is_some() {
        at.eat(b"true").or_else(|| at.eat(b"false"))?;
    }
    linear(at);
    Some(taker)
}

/// `st` of a contract that is margined in the quote asset; other values are not read here.
#[inline]
fn linear(at: &mut Cursor<'_>) {
    at.eat(b",\"st\":1");
}

#[cfg(test)]
#[path = "../../../tests/support/recordings.rs"]
mod recordings;

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use std::path::PathBuf;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

    use super::super::Market;
    use super::super::decode::{Decoded, Decoder};
    use super::recordings;
    use crate::kernel::types::{Instrument, InstrumentId, InstrumentName, Scale, Time, VenueId};
    use crate::recording::Reader;
    use crate::venue::protocol::{Reading, TradeStream};

    /// As Binance's documentation and its streams have them, from 2021 to 2026.
    const FORMS: [&str; 14] = [
        r#"{"stream":"btcusdt@bookTicker","data":{"u":400900217,"s":"BTCUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}"#,
        r#"{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}"#,
        r#"{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}"#,
        r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":11747004261523,"s":"BTCUSDT","ps":"BTCUSDT","b":"85999.90","B":"15.739","a":"86000.00","A":"4.613","T":1791283227688,"E":1791283227690,"st":1}}"#,
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#,
        r#"{"e":"trade","E":1723161256322123,"T":1723161256322456,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}"#,
        r#"{"e":"aggTrade","E":1672515782136,"s":"BTCUSDT","a":12345,"p":"0.01","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}"#,
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1791283227690,"a":3476465318,"s":"BTCUSDT","p":"86000.00","q":"4.577","nq":"4.571","f":8149533714,"l":8149533773,"T":1791283227688,"m":true,"st":1}}"#,
        r#"{"stream":"bnbusdt@depth","data":{"e":"depthUpdate","E":1672515782136,"s":"BNBUSDT","U":157,"u":160,"b":[["0.24","10"]],"a":[["0.26","100"],["0.27","0"]]}}"#,
        r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1672515782136,"s":"BTCUSDT","U":157,"u":160,"b":[],"a":[]}}"#,
        r#"{"e":"depthUpdate","E":1672515782136,"T":1672515782135,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.24","10.50000000"]],"a":[]}"#,
        r#"{"e":"depthUpdate","E":1791283227690,"T":1791283227688,"s":"BTCUSDT","ps":"BTCUSDT","U":11747004259049,"u":11747004264789,"pu":11747004258972,"b":[["85999.80","0.381"]],"a":[["86000.10","0.702"]],"st":1}"#,
        r#"{"e":"trade","E":1,"s":"BTCUSDT","t":0,"p":"12345678901.5","q":"1234567890","T":1,"m":false,"M":false}"#,
        r#"{"u":1,"s":"1000000MOGUSDT_X","b":"1","B":"1","a":"1","A":"1"}"#,
    ];
    /// Bytes that mean something somewhere.
    const LIKELY: &[u8] = b"{}[],:\"\\0123456789.-eE ";
    const RECEIVED: Time = Time(1_791_284_980_700_000_000);

    fn instrument(symbol: &str, price: u8, qty: u8) -> Instrument {
        let name = InstrumentName {
            venue: VenueId::Binance,
            symbol: symbol.to_owned(),
        };
        let scales = [price, qty].map(|digits| Scale::new(digits).expect("scale"));
        Instrument::unlimited(name, "B", "Q", (scales[0], scales[1]))
    }

    fn reader(market: Market, trades: TradeStream, instruments: &[Instrument]) -> Decoder {
        let readings: Vec<Reading<'_>> = (0..)
            .map(InstrumentId)
            .zip(instruments)
            .map(|(id, instrument)| Reading {
                id,
                instrument,
                trades,
            })
            .collect();
        Decoder::new(market, &readings)
    }

    /// Of both markets and both trade streams.
    fn decoders() -> [Decoder; 4] {
        let many: Vec<Instrument> = (0..100)
            .map(|n| instrument(&format!("X{n}USDT"), 4, 4))
            .chain([
                instrument("BTCUSDT", 4, 6),
                instrument("BNBUSDT", 2, 2),
                instrument("1000000MOGUSDT_X", 0, 0),
                instrument("LONGERTHANSIXTEENUSDT", 8, 0),
            ])
            .collect();
        [
            reader(Market::Spot, TradeStream::Every, &many),
            reader(Market::Spot, TradeStream::Aggregate, &many),
            reader(Market::Usdm, TradeStream::Every, &many),
            reader(Market::Usdm, TradeStream::Aggregate, &many),
        ]
    }

    /// Read alike by each, or passed on. Returns whether one read it here.
    fn agree(decoders: &[Decoder], frame: &[u8]) -> bool {
        let mut read = false;
        for decoder in decoders {
            read |= agrees(decoder, frame);
        }
        read
    }

    fn agrees(decoder: &Decoder, frame: &[u8]) -> bool {
        let Some(ours) = decoder.decode_frequent(frame, RECEIVED) else {
            return false;
        };
        let text = || String::from_utf8_lossy(frame);
        match decoder.decode_any(frame, RECEIVED) {
            Ok(Decoded::Market(theirs)) => {
                assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{}", text());
            }
            other => panic!("{ours:?}\n{other:?}\n{}", text()),
        }
        true
    }

    fn recorded(name: &str) -> Vec<Vec<u8>> {
        let files: Vec<PathBuf> = recordings::recordings()
            .into_iter()
            .map(|root| root.join("hftbacktest").join(name))
            .collect();
        let mut reader = Reader::new(&files);
        let mut frames = Vec::new();
        while let Some(record) = reader.next_record() {
            frames.push(record.expect("line").frame.to_vec());
        }
        frames
    }

    #[test]
    fn the_usual_forms_are_read() {
        let decoder = decoders();
        for form in FORMS {
            assert!(agree(&decoder, form.as_bytes()), "{form}");
            for end in 0..form.len() {
                assert!(!agree(&decoder, &form.as_bytes()[..end]), "{form}, {end}");
            }
        }
        assert!(!agree(&decoder, &[FORMS[0].as_bytes(), b" "].concat()));
    }

    #[test]
    fn what_looks_like_it_is_passed_on() {
        let decoder = decoders();
        for (form, from, to) in [
            (8, "@depth", "@depth5"),
            (9, "@depth@", "@depth20@"),
            (3, "\"st\":1", "\"st\":2"),
            (5, "MARKET", "ADL"),
            (0, "BTCUSDT", "ETHUSDT"),
            (0, "BTCUSDT", "btcusdt"),
            (0, "25.35190000", "0.00000000"),
            (0, "25.35190000", "25.35190001"),
            (4, "0.02000000", "0.00000000"),
            (7, "\"l\":8149533773", "\"l\":1"),
            (10, "\"u\":160", "\"u\":150"),
            (2, "\"E\":1723161256313", "\"E\":0"),
            (4, "\"t\":3735683259", "\"t\":03"),
            (4, "btcusdt@", "btc\u{e9}sdt@"),
            (7, "4.571", "4.571\u{e9}"),
            (7, "4.571", "4.571\\n"),
        ] {
            let changed = FORMS[form].replace(from, to);
            assert_ne!(changed, FORMS[form]);
            assert!(!agree(&decoder, changed.as_bytes()), "{changed}");
        }
        for scales in [(8, 0), (0, 8)] {
            let other = instrument("BTCUSDT", scales.0, scales.1);
            let other = reader(Market::Spot, TradeStream::Every, &[other]);
            for form in FORMS {
                agrees(&other, form.as_bytes());
            }
        }
    }

    #[test]
    fn nearly_all_recorded_frames_are_read() {
        let decoder = decoders();
        for name in [
            "binance_spot_btcusdt_20240808.txt.gz",
            "binance_spot_btcusdt_20240809.txt.gz",
            "binance_usdm_btcusdt_20240808.txt.gz",
        ] {
            let frames = recorded(name);
            let passed_on = frames.iter().filter(|f| !agree(&decoder, f)).count();
            // The snapshot is.
            assert!(passed_on <= 1, "{name}: {passed_on}");
        }
    }

    #[test]
    fn damaged_frames_are_passed_on_or_read_alike() {
        let decoder = decoders();
        let mut frames: Vec<Vec<u8>> = FORMS.iter().map(|f| f.as_bytes().to_vec()).collect();
        for name in [
            "binance_spot_btcusdt_20240808.txt.gz",
            "binance_usdm_btcusdt_20240808.txt.gz",
        ] {
            let short = recorded(name).into_iter().filter(|f| f.len() < 800);
            frames.extend(short.step_by(400));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(1_723_161_255);
        let mut pick = |below: usize| {
            usize::try_from(rng.next_u64() % below.max(1) as u64).expect("below a usize")
        };
        let mut read = 0_u32;
        for _ in 0..200_000 {
            let mut frame = frames[pick(frames.len())].clone();
            for _ in 0..=pick(3) {
                let at = pick(frame.len());
                match pick(7) {
                    0 => frame.truncate(at),
                    1 => frame[at] ^= 1 << pick(8),
                    2 => frame[at] = LIKELY[pick(LIKELY.len())],
                    3 => frame[at] = u8::try_from(pick(10)).expect("a digit") + b'0',
                    4 => frame.insert(at, LIKELY[pick(LIKELY.len())]),
                    5 => {
                        frame.remove(at);
                    }
                    _ => {
                        // A part of another frame, or of itself.
                        let other = &frames[pick(frames.len())];
                        let from = pick(other.len());
                        let to = (from + pick(40)).min(other.len());
                        let part = other[from..to].to_vec();
                        frame.splice(at..at, part);
                    }
                }
                if frame.is_empty() {
                    break;
                }
            }
            read += u32::from(agree(&decoder, &frame));
        }
        // Neither side may be one that says the same to everything.
        assert!((5_000..150_000).contains(&read), "{read}");
    }
}
