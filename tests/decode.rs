//! The decoder of Binance's spot frames against a slow, careful reading of the same bytes: on real
//! frames, on frames written from the protocol page, and on 100,000 damaged ones.

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

#[path = "support/damage.rs"]
mod damage;
#[path = "support/recordings.rs"]
mod recordings;
mod reference;

use std::collections::BTreeMap;
use std::io::Read as _;

use damage::{damage, pick};
use hean::kernel::event::MarketData;
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, InstrumentStatus, Price, Qty, Rate, Scale, Time,
    VenueId,
};
use hean::venue::binance::Market;
use hean::venue::binance::answers;
use hean::venue::binance::decode::{Decoded, Decoder};
use hean::venue::protocol::{Complaint, Reading, TopicKind, TradeStream};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use recordings::recordings;

const RECEIVED: Time = Time(1_791_284_980_700_000_000);

fn instrument(symbol: &str, price_digits: u8, qty_digits: u8) -> Instrument {
    Instrument::unlimited(
        InstrumentName {
            venue: VenueId::Binance,
            symbol: symbol.to_owned(),
        },
        "B",
        "Q",
        (
            Scale::new(price_digits).unwrap(),
            Scale::new(qty_digits).unwrap(),
        ),
    )
}

/// One instrument, as a recording of one symbol has it; and several. (BTCUSDT's lot has five digits,
/// but orders from before a change of the lot rest in the recorded book with six.)
fn sets() -> [Vec<(InstrumentId, Instrument)>; 2] {
    let many = [
        ("BTCUSDT", 2, 6),
        ("BNBBTC", 7, 3),
        ("NKNUSDT", 4, 0),
        ("BLZETH", 8, 0),
        ("LRCBTC", 8, 0),
        ("RUNEEUR", 3, 1),
    ];
    let make =
        |(n, (symbol, p, q)): (u16, (&str, u8, u8))| (InstrumentId(n), instrument(symbol, p, q));
    [
        vec![(InstrumentId(7), instrument("BTCUSDT", 2, 6))],
        (0..).zip(many).map(make).collect(),
    ]
}

fn decoder(set: &[(InstrumentId, Instrument)]) -> Decoder {
    let reading = |(id, instrument): &'_ (InstrumentId, Instrument)| (*id, instrument.clone());
    let set: Vec<_> = set.iter().map(reading).collect();
    let readings: Vec<Reading<'_>> = set
        .iter()
        .map(|(id, instrument)| Reading {
            id: *id,
            instrument,
            trades: TradeStream::Every,
        })
        .collect();
    Decoder::new(Market::Spot, &readings)
}

fn sample() -> Vec<String> {
    let text = include_str!("data/binance_spot_frames.txt");
    let frame = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    text.lines().map(frame).collect()
}

fn unzipped(path: &str) -> Option<String> {
    let file = std::fs::File::open(recordings()?.join(path)).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    Some(text)
}

/// Decoder and reference must say the same of `frame`. Returns whether it was accepted.
fn agree(set: &[(InstrumentId, Instrument)], decoder: &Decoder, frame: &[u8]) -> bool {
    let got = decoder.decode(frame, RECEIVED);
    let setting = reference::Setting {
        market: Market::Spot,
        trades: TradeStream::Every,
        set,
        received: RECEIVED,
    };
    let want = reference::read(frame, setting);
    match (&got, &want) {
        (Ok(got), Ok(want)) => assert_eq!(
            format!("{got:?}"),
            format!("{want:?}"),
            "{}",
            String::from_utf8_lossy(frame)
        ),
        (Err(_), Err(_)) => {}
        _ => panic!(
            "decoder: {got:?}\nreference: {want:?}\n{}",
            String::from_utf8_lossy(frame)
        ),
    }
    got.is_ok()
}

#[test]
fn frames_of_the_protocol_page_are_read_as_they_are_meant() {
    let [one, _] = sets();
    let one_decoder = decoder(&one);
    let kinds: Vec<String> = sample()
        .iter()
        .map(|frame| {
            assert!(agree(&one, &one_decoder, frame.as_bytes()), "{frame}");
            kind(&one_decoder.decode(frame.as_bytes(), RECEIVED).unwrap())
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "Snapshot",
            "Depth",
            "Depth",
            "Ignored(Symbol)",
            "Trade",
            "Trade",
            "Ignored(Symbol)",
            "Quote",
            "Ignored(Symbol)",
            "Kline",
            "Kline",
            "Stats",
            "Ignored(Symbol)",
            "Answer",
            "Answer",
            "Refusal",
            "Refusal",
            "Shutdown",
            "Shutdown",
            "Ignored(Symbol)",
            "Ignored(Kind)",
            "Ignored(Kind)",
            "Ignored(Kind)",
            "Trade",
        ]
    );
}

fn kind(decoded: &Decoded) -> String {
    match decoded {
        Decoded::Market(event) => match event.data {
            MarketData::Depth(_) => "Depth",
            MarketData::Snapshot(_) => "Snapshot",
            MarketData::Trade(_) => "Trade",
            MarketData::Quote(_) => "Quote",
            MarketData::Kline(_) => "Kline",
            MarketData::Stats(_) => "Stats",
            MarketData::History(_)
            | MarketData::Derivative(_)
            | MarketData::Liquidation(_)
            | MarketData::OffBook(_)
            | MarketData::Verified { .. }
            | MarketData::Listing(_)
            | MarketData::Lost(..) => "other",
        }
        .to_owned(),
        Decoded::Answer(answer) if answer.error.is_some() => "Refusal".to_owned(),
        Decoded::Answer(_) => "Answer".to_owned(),
        Decoded::Shutdown => "Shutdown".to_owned(),
        Decoded::Ignored(why) => format!("Ignored({why:?})"),
    }
}

#[test]
fn a_recording_is_read_to_the_last_field() {
    let Some(text) = unzipped("hftbacktest/binance_spot_btcusdt_20240808.txt.gz") else {
        return;
    };
    let [one, _] = sets();
    let one_decoder = decoder(&one);
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for line in text.lines() {
        let frame = line.split_once(' ').unwrap().1.as_bytes();
        assert!(agree(&one, &one_decoder, frame));
        *kinds
            .entry(kind(&one_decoder.decode(frame, RECEIVED).unwrap()))
            .or_default() += 1;
    }
    let counted: Vec<_> = kinds.iter().map(|(k, n)| (k.as_str(), *n)).collect();
    assert_eq!(counted.iter().map(|(_, n)| n).sum::<u32>(), 41_249);
    assert_eq!(kinds.get("Snapshot"), Some(&1));
    assert!(
        kinds
            .keys()
            .all(|k| ["Snapshot", "Depth", "Quote", "Trade"].contains(&k.as_str()))
    );
}

#[test]
fn other_recordings_are_read_too() {
    let Some(text) = unzipped("cryptofeed/BINANCE.ws.1.0.gz") else {
        return;
    };
    let [_, many] = sets();
    let many_decoder = decoder(&many);
    let mut accepted = 0;
    for line in text.lines().skip(1).filter(|l| !l.is_empty()) {
        let frame = line.split_once(": ").unwrap().1.as_bytes();
        assert!(agree(&many, &many_decoder, frame), "{line}");
        accepted += 1;
    }
    assert!(accepted > 250, "{accepted}");
}

#[test]
fn damaged_frames_are_errors_or_read_right() {
    let sets = sets();
    let decoders = [decoder(&sets[0]), decoder(&sets[1])];
    // The own frames are few: let them be as likely as the recorded ones.
    let mut frames = vec![sample(); 20].concat();
    if let Some(text) = unzipped("hftbacktest/binance_spot_btcusdt_20240808.txt.gz") {
        let recorded = text.lines().filter(|l| l.len() < 1_500).take(400);
        frames.extend(recorded.map(|l| l.split_once(' ').unwrap().1.to_owned()));
    }
    if let Some(text) = unzipped("cryptofeed/BINANCE.ws.1.0.gz") {
        let recorded = text.lines().skip(1).filter(|l| l.len() < 1_500);
        frames.extend(recorded.filter_map(|l| Some(l.split_once(": ")?.1.to_owned())));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(20_240_808);
    let mut accepted = 0_u32;
    for _ in 0..100_000 {
        let frame = &frames[pick(&mut rng, frames.len())];
        let damaged = damage(&mut rng, frame);
        let which = pick(&mut rng, 2);
        if agree(&sets[which], &decoders[which], &damaged) {
            accepted += 1;
        }
    }
    // Neither side may be one that says the same to everything.
    assert!((10_000..80_000).contains(&accepted), "{accepted} accepted");
}

#[test]
fn every_cut_of_a_frame_is_an_error() {
    let [one, _] = sets();
    let one_decoder = decoder(&one);
    for frame in sample() {
        for end in 0..frame.len() {
            if frame.is_char_boundary(end) {
                assert!(
                    one_decoder
                        .decode(&frame.as_bytes()[..end], RECEIVED)
                        .is_err()
                );
            }
        }
    }
}

#[test]
fn the_victim_of_a_damaged_depth_frame_is_known() {
    let [one, many] = sets();
    let cut = br#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":17"#;
    assert!(decoder(&one).decode(cut, RECEIVED).is_err());
    assert_eq!(
        decoder(&one).victim(cut),
        Some((InstrumentId(7), TopicKind::Depth))
    );
    let bare = br#"{"e":"depthUpdate","E":17x,"s":"BLZETH","U":157"#;
    assert_eq!(
        decoder(&many).victim(bare),
        Some((InstrumentId(3), TopicKind::Depth))
    );
    let trade = br#"{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT""#;
    assert_eq!(
        decoder(&one).victim(trade),
        Some((InstrumentId(7), TopicKind::Trades))
    );
    assert_eq!(decoder(&one).victim(b"{\"e\":\"kline\""), None);
}

#[test]
fn errors_name_the_field() {
    let [one, _] = sets();
    let text = |frame: &str| {
        decoder(&one)
            .decode(frame.as_bytes(), RECEIVED)
            .unwrap_err()
            .to_string()
    };
    let trade = |p: &str, q: &str, rest: &str| {
        format!(
            r#"{{"e":"trade","E":1791284980615,"s":"BTCUSDT","t":1,"p":{p},"q":{q},"T":1791284980614{rest}}}"#
        )
    };
    assert_eq!(
        text(&trade("\"1.001\"", "\"1\"", ",\"m\":true")),
        "field \"p\": more than 2 decimal digits"
    );
    assert_eq!(
        text(&trade("\"0\"", "\"1\"", ",\"m\":true")),
        "field \"p\": must be positive"
    );
    assert_eq!(
        text(&trade("1", "\"1\"", ",\"m\":true")),
        "field \"p\": must be a string"
    );
    assert_eq!(
        text(&trade("\"1\"", "\"0.0\"", ",\"m\":true")),
        "field \"q\": must be positive"
    );
    assert_eq!(text(&trade("\"1\"", "\"1\"", "")), "field \"m\" is missing");
    assert_eq!(
        text(&trade("\"1\"", "\"1\"", ",\"m\":true,\"p\":\"2\"")),
        "field \"p\" appears twice"
    );
}

#[test]
fn exchange_information_gives_scales_and_filters() {
    let body = br#"{"timezone":"UTC","symbols":[
        {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
          {"filterType":"PRICE_FILTER","minPrice":"0.01000000","maxPrice":"1000000.00000000","tickSize":"0.01000000"},
          {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.00000000","stepSize":"0.00001000"},
          {"filterType":"ICEBERG_PARTS","limit":10},
          {"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true}]},
        {"symbol":"COARSE","status":"CANCEL_ONLY","baseAsset":"C","quoteAsset":"USDT","filters":[
          {"filterType":"PRICE_FILTER","minPrice":"0.00100000","maxPrice":"0","tickSize":"10.00000000"},
          {"filterType":"LOT_SIZE","minQty":"1.00","maxQty":"9000000000000.00","stepSize":"1.00"},
          {"filterType":"MIN_NOTIONAL","minNotional":"0.0001"}]},
        {"symbol":"OFF","status":"BREAK","baseAsset":"O","quoteAsset":"USDT","filters":[
          {"filterType":"PRICE_FILTER","minPrice":"0.00000000","tickSize":"0.00000000"},
          {"filterType":"LOT_SIZE","minQty":"0.0","maxQty":"0","stepSize":"0"}]},
        {"symbol":"FINE","status":"TRADING","baseAsset":"F","quoteAsset":"USDT","filters":[
          {"filterType":"PRICE_FILTER","minPrice":"0.000000001","tickSize":"0.000000001"},
          {"filterType":"LOT_SIZE","minQty":"1","maxQty":"0","stepSize":"1"}]}]}"#;
    let mut body = body.to_vec();
    let facts = answers::decode_exchange_info(&mut body).unwrap();
    let of = |n: usize| facts[n].instrument(VenueId::Sim, Market::Spot, None);
    let btc = of(0).unwrap();
    // Finer than tick and lot, as far as the numbers fit.
    assert_eq!((btc.price_scale.digits(), btc.qty_scale.digits()), (8, 8));
    assert_eq!((btc.tick, btc.lot), (Price(1_000_000), Qty(1_000)));
    assert_eq!(
        (btc.qty_min, btc.qty_max),
        (Qty(1_000), Qty(900_000_000_000))
    );
    assert_eq!(
        (btc.notional_min.to_string().as_str(), btc.status),
        ("5", InstrumentStatus::Trading)
    );
    assert_eq!(
        (btc.maker_fee, btc.taker_fee),
        (Rate(100_000), Rate(100_000))
    );
    assert_eq!(btc.name.to_string(), "sim:BTCUSDT");
    let coarse = of(1).unwrap();
    assert_eq!(
        (coarse.price_scale.digits(), coarse.tick),
        (3, Price(10_000))
    );
    assert_eq!((coarse.qty_scale.digits(), coarse.lot), (3, Qty(1_000)));
    assert_eq!(coarse.status, InstrumentStatus::CancelOnly);
    let off = of(2).unwrap();
    assert_eq!(
        (off.price_scale.digits(), off.tick, off.lot),
        (8, Price(1), Qty(1))
    );
    assert_eq!(off.status, InstrumentStatus::Halted);
    let fine = of(3).unwrap_err().to_string();
    assert!(
        fine.contains("tickSize") && fine.contains("8 decimal digits"),
        "{fine}"
    );
    assert!(answers::decode_exchange_info(&mut b"{\"symbols\":[{}]}".to_vec()).is_err());
}

#[test]
fn recorded_exchange_information_is_read_whole() {
    let Some(text) = unzipped("cryptofeed/BINANCE.0.gz") else {
        return;
    };
    let start = text.find(": {\"timezone").unwrap() + 2;
    let body = text[start..].lines().next().unwrap();
    let mut body = body.as_bytes().to_vec();
    let facts = answers::decode_exchange_info(&mut body).unwrap();
    assert_eq!(facts.len(), 1_695);
    for fact in &facts {
        let instrument = fact
            .instrument(VenueId::Binance, Market::Spot, None)
            .unwrap();
        assert!(
            instrument.tick > Price(0) && instrument.lot > Qty(0),
            "{}",
            fact.symbol
        );
    }
}

#[test]
fn klines_of_the_rest_interface() {
    let btc = instrument("BTCUSDT", 2, 5);
    let row = |t: u64, open: &str, volume: &str| {
        format!(r#"[{t},"{open}","110.00","90.00","100.5","{volume}",1,"123.456789012","12","1","1","0"]"#)
            .replace("\"12\"", "12")
    };
    let read =
        |rows: &[String]| answers::decode_klines(format!("[{}]", rows.join(",")).as_bytes(), &btc);
    let good = read(&[row(60_000, "100", "1.5"), row(120_000, "100.50", "0")]).unwrap();
    assert_eq!(good.len(), 2);
    assert_eq!(
        (good[0].open, good[0].high, good[0].close),
        (Price(10_000), Price(11_000), Price(10_050))
    );
    assert_eq!(
        (good[0].volume, good[0].quote_volume, good[0].trades),
        (150_000, 1_234_567_890, 12)
    );
    // A finer tick of the past ends the history there.
    let old = read(&[
        row(60_000, "100.001", "1"),
        row(120_000, "100", "1.1234567"),
    ])
    .unwrap();
    assert_eq!(
        old.iter().map(|c| c.open_time.millis()).collect::<Vec<_>>(),
        [120_000]
    );
    assert_eq!(old[0].volume, 112_345);
    assert!(
        read(&[row(120_000, "100", "1"), row(60_000, "100", "1")]).is_err(),
        "order"
    );
    assert!(read(&[row(60_000, "200", "1")]).is_err(), "open above high");
    assert!(answers::decode_klines(b"[[1,2]]", &btc).is_err());
    assert!(answers::decode_klines(b"{}", &btc).is_err());
    assert_eq!(answers::decode_klines(b"[]", &btc), Ok(Vec::new()));
}

#[test]
fn server_time_and_complaints() {
    let time = answers::decode_server_time(br#"{"serverTime":1620099477465}"#);
    assert_eq!(time, Ok(Time(1_620_099_477_465_000_000)));
    assert!(answers::decode_server_time(br#"{"serverTime":"x"}"#).is_err());
    assert!(
        answers::decode_server_time(br#"{"serverTime":1,"serverTime":1620099477465}"#).is_err()
    );
    let complaint = answers::complaint(400, br#"{"code":-1121,"msg":"Invalid symbol."}"#);
    let refused = |code, message: &str| {
        let message = message.to_owned();
        Some(Complaint::Refused { code, message })
    };
    assert_eq!(complaint, refused(-1121, "Invalid symbol."));
    assert_eq!(answers::complaint(500, b"<html>"), refused(0, ""));
    assert_eq!(answers::complaint(451, b"{}"), Some(Complaint::Blocked));
    assert_eq!(answers::complaint(200, b"[]"), None);
}
