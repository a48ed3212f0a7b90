//! Bybit's frames and answers, as the protocol page shows them, to the last field.

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

#[path = "bybit/answers.rs"]
mod answers;

use hean::kernel::event::{Candle, DayStats, Derivative, Level, MarketData, MarketEvent};
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, MarkPrice, Price, Qty, Rate, Scale, Side, Time,
    VenueId,
};
use hean::venue::VenueRow;
use hean::venue::decode_error::DecodeError;
use hean::venue::protocol::{Answer, Ignored, Protocol, Reading, Said, TopicKind};

const RECEIVED: Time = Time(1_791_284_980_700_000_000);

fn protocol(venue: VenueId) -> &'static dyn Protocol {
    VenueRow::of(venue).protocol
}

/// A tick of 0.01 and a lot of 0.001.
fn btc(venue: VenueId) -> Instrument {
    Instrument::unlimited(
        InstrumentName {
            venue,
            symbol: "BTCUSDT".to_owned(),
        },
        "BTC",
        "USDT",
        (Scale::new(2).unwrap(), Scale::new(3).unwrap()),
    )
}

fn decode(venue: VenueId, frame: &str) -> (Result<Said, DecodeError>, Vec<MarketEvent>) {
    let instrument = btc(venue);
    let decoder = protocol(venue).decoder(&[Reading {
        id: InstrumentId(4),
        instrument: &instrument,
        trades: protocol(venue).trade_stream(),
    }]);
    let mut events = Vec::new();
    let said = decoder.decode(frame.as_bytes(), RECEIVED, &mut events);
    assert!(events.iter().all(|e| e.instrument == InstrumentId(4)));
    assert!(events.iter().all(|e| e.received == RECEIVED));
    assert_eq!(events.is_empty(), said != Ok(Said::Market), "{said:?}");
    (said, events)
}

fn events(venue: VenueId, frame: &str) -> Vec<MarketEvent> {
    let (said, events) = decode(venue, frame);
    assert_eq!(said, Ok(Said::Market), "{frame}");
    events
}

fn said(frame: &str) -> Result<Said, DecodeError> {
    decode(VenueId::BybitLinear, frame).0
}

fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Price(price),
        qty: Qty(qty),
    }
}

fn millis(ms: i64) -> Time {
    Time::from_millis(ms).unwrap()
}

#[test]
fn order_books_are_windows_and_their_tops_are_quotes() {
    let snapshot = r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724},"cts":1672304484976}"#;
    let [event] = &events(VenueId::BybitLinear, snapshot)[..] else {
        panic!("one event");
    };
    assert_eq!(event.venue_time, millis(1_672_304_484_976), "cts");
    let MarketData::Snapshot(book) = &event.data else {
        panic!("{event:?}");
    };
    assert_eq!(
        (book.last_id, book.seq, book.window),
        (18_521_288, 7_961_638_724, Some(50))
    );
    assert_eq!(book.bids, [level(1_649_350, 6)]);
    assert_eq!(book.asks, [level(1_661_100, 29)]);

    // Spot puts `ts` before `type`, an old recording has a depth that is gone, none has `cts`.
    let delta = r#"{"ts":1687940967466,"topic":"orderbook.500.BTCUSDT","type":"delta","data":{"s":"BTCUSDT","b":[["30247.20","30.028"],["30245.40","0"]],"a":[],"u":177400507,"seq":66544703342}}"#;
    let [event] = &events(VenueId::BybitSpot, delta)[..] else {
        panic!("one event");
    };
    assert_eq!(event.venue_time, millis(1_687_940_967_466), "ts");
    let MarketData::Depth(delta) = &event.data else {
        panic!("{event:?}");
    };
    assert_eq!(
        (delta.prev_id, delta.first_id, delta.last_id, delta.seq),
        (177_400_506, 177_400_507, 177_400_507, 66_544_703_342)
    );
    assert_eq!(delta.bids, [level(3_024_720, 30_028), level(3_024_540, 0)]);

    let top = |kind: &str, bids: &str| {
        format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","type":"{kind}","ts":1672304484978,"data":{{"s":"BTCUSDT","b":{bids},"a":[["3","2"]],"u":5,"seq":9}}}}"#
        )
    };
    let [event] = &events(VenueId::BybitSpot, &top("snapshot", r#"[["1","1"]]"#))[..] else {
        panic!("one event");
    };
    let MarketData::Quote(quote) = event.data else {
        panic!("{event:?}");
    };
    assert_eq!(
        (quote.update_id, quote.bid, quote.ask),
        (9, level(100, 1_000), level(300, 2_000))
    );
    let ignored = Ok(Said::Ignored(Ignored::Kind));
    assert_eq!(said(&top("snapshot", "[]")), ignored, "one side");
    assert!(said(&top("delta", "[]")).is_err(), "snapshots alone");
    assert!(said(&top("other", r#"[["1","1"]]"#)).is_err());
    for topic in [
        "orderbook.full.BTCUSDT",
        "orderbook.rpi.BTCUSDT",
        "orderbook.050.BTCUSDT",
    ] {
        assert_eq!(
            said(&snapshot.replace("orderbook.50.BTCUSDT", topic)),
            ignored
        );
    }
    let other = snapshot.replace("BTCUSDT", "ETHUSDT");
    assert_eq!(said(&other), Ok(Said::Ignored(Ignored::Symbol)));
    let mixed = snapshot.replace("\"s\":\"BTCUSDT\"", "\"s\":\"ETHUSDT\"");
    assert!(said(&mixed).is_err(), "topic and symbol disagree");
    assert!(said(&snapshot.replace("\"u\":18521288", "\"u\":1,\"u\":2")).is_err());
    assert!(
        said(&snapshot.replace("16493.50", "16493.505")).is_err(),
        "finer than the scale"
    );
    assert!(said(&snapshot.replace("\"u\":18521288", "\"u\":1.5")).is_err());
}

#[test]
fn trades_come_singly_and_block_trades_are_left_out() {
    let trade = |id: &str, side: &str, block: bool| {
        format!(
            r#"{{"T":1672304486865,"s":"BTCUSDT","S":"{side}","v":"0.001","p":"16578.50","L":"PlusTick","i":"{id}","BT":{block},"RPI":false,"seq":1783284617}}"#
        )
    };
    let frame = |trades: &[String]| {
        format!(
            r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{}]}}"#,
            trades.join(",")
        )
    };
    let (buy, block, sell) = (
        trade("20f43950-d8dd-5b31-9112-a178eb6023af", "Buy", false),
        trade("20f43950-d8dd-5b31-9112-a178eb6023b0", "Buy", true),
        trade("2290000000061666327", "Sell", false),
    );
    let events = events(
        VenueId::BybitLinear,
        &frame(&[buy, block.clone(), sell.clone()]),
    );
    let trades: Vec<_> = events
        .iter()
        .map(|event| match event.data {
            MarketData::Trade(t) => (t.id, t.first_id, t.last_id, t.price, t.qty, t.taker, t.time),
            _ => panic!("{event:?}"),
        })
        .collect();
    let (uuid, number) = (0x20f4_3950_d8dd_5b31, 2_290_000_000_061_666_327);
    let (price, qty, time) = (Price(1_657_850), Qty(1), millis(1_672_304_486_865));
    assert_eq!(
        trades,
        [
            (uuid, uuid, uuid, price, qty, Side::Buy, time),
            (number, number, number, price, qty, Side::Sell, time),
        ]
    );
    assert_eq!(events[0].venue_time, millis(1_672_304_486_868));
    let nothing = Ok(Said::Ignored(Ignored::NoTrades));
    assert_eq!(said(&frame(&[block])), nothing);
    assert_eq!(said(&frame(&[])), nothing);
    // A frame is read whole or not at all.
    for bad in [
        "",
        "-",
        "20f43950-d8dd-5b31-9112",
        "20f43950-d8dd-5b31-9112-a178eb6023ag",
        "1.5",
        "20f43950-d8dd-5b31-9112-a178eb6023af-",
        "20f439-50d8dd-5b31-9112-a178eb6023af",
        "99999999999999999999",
    ] {
        let (said, events) = decode(
            VenueId::BybitSpot,
            &frame(&[sell.clone(), trade(bad, "Buy", false)]),
        );
        assert!(said.is_err() && events.is_empty(), "{bad}");
    }
    assert!(said(&frame(&[trade("1", "buy", false)])).is_err());
    assert!(said(&frame(&[trade("1", "Buy", false).replace("0.001", "0")])).is_err());
}

#[test]
fn a_ticker_says_what_changed() {
    let snapshot = r#"{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick","lastPrice":"17216.00","prevPrice24h":"16926.50","highPrice24h":"17281.50","lowPrice24h":"16915.00","markPrice":"17217.333333333","indexPrice":"17227.36","openInterest":"68744.761","turnover24h":"1570383121.943499","volume24h":"91705.2769","nextFundingTime":"1673280000000","fundingRate":"-0.000212","bid1Price":"17215.50"},"cs":24987956059,"ts":1673272861686}"#;
    let stats = DayStats {
        open: Some(Price(1_692_650)),
        high: Some(Price(1_728_150)),
        low: Some(Price(1_691_500)),
        volume: Some(91_705_276),
        quote_volume: Some(157_038_312_194_349),
    };
    let figures = Derivative {
        mark: Some(MarkPrice(1_721_733_333_333)),
        index: Some(MarkPrice(1_722_736_000_000)),
        funding_rate: Some(Rate(-21_200)),
        next_funding: Some(millis(1_673_280_000_000)),
        open_interest: Some(68_744_761),
    };
    let read = |venue, frame: &str| {
        let (mut day, mut derivative) = (None, None);
        for event in decode(venue, frame).1 {
            match event.data {
                MarketData::Stats(s) => day = Some(*s),
                MarketData::Derivative(d) => derivative = Some(*d),
                other => panic!("{other:?}"),
            }
        }
        (day, derivative)
    };
    let linear = VenueId::BybitLinear;
    assert_eq!(read(linear, snapshot), (Some(stats), Some(figures)));
    assert_eq!(read(VenueId::BybitSpot, snapshot), (Some(stats), None));
    let delta = |fields: &str| {
        format!(
            r#"{{"topic":"tickers.BTCUSDT","type":"delta","data":{{"symbol":"BTCUSDT"{fields}}},"cs":1,"ts":1673272861686}}"#
        )
    };
    let index = Derivative {
        index: Some(MarkPrice(1)),
        ..Derivative::default()
    };
    let frame = delta(r#","indexPrice":"0.00000001","fundingRate":"","nextFundingTime":"0""#);
    assert_eq!(read(linear, &frame), (None, Some(index)));
    let low = DayStats {
        low: Some(Price(7)),
        ..DayStats::default()
    };
    let frame = delta(r#","lowPrice24h":"0.07","highPrice24h":"","prevPrice24h":"0""#);
    assert_eq!(read(linear, &frame), (Some(low), None));
    assert_eq!(
        said(&delta(r#","bid1Price":"61875.06""#)),
        Ok(Said::Ignored(Ignored::NoTrades))
    );
    for bad in [
        r#","markPrice":1"#,
        r#","markPrice":"-1""#,
        r#","markPrice":null"#,
        r#","openInterest":"-1""#,
        r#","fundingRate":"x""#,
        r#","nextFundingTime":"tomorrow""#,
        r#","highPrice24h":"1","lowPrice24h":"2""#,
        r#","prevPrice24h":"-1""#,
    ] {
        assert!(said(&delta(bad)).is_err(), "{bad}");
    }
}

#[test]
fn candles_and_liquidations() {
    let candle = r#"{"topic":"kline.5.BTCUSDT","type":"snapshot","ts":1672324988882,"data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005678","confirm":false,"timestamp":1672324988881}]}"#;
    let [event] = &events(VenueId::BybitSpot, candle)[..] else {
        panic!("one event");
    };
    let MarketData::Kline(kline) = &event.data else {
        panic!("{event:?}");
    };
    assert_eq!(kline.interval.to_string(), "5m");
    assert_eq!(
        (kline.trade_ids, kline.traded_at, kline.closed),
        (None, Some(millis(1_672_324_988_881)), false)
    );
    let expected = Candle {
        open_time: millis(1_672_324_800_000),
        open: Price(1_664_950),
        high: Price(1_667_700),
        low: Price(1_660_800),
        close: Price(1_667_700),
        volume: 2_081,
        quote_volume: 3_466_640_056,
        trades: 0,
    };
    assert_eq!(kline.candle, expected);
    assert!(
        said(&candle.replace("kline.5.", "kline.15.")).is_err(),
        "two intervals"
    );
    assert!(
        said(&candle.replace("\"16608\"", "\"16650\"")).is_err(),
        "low above open"
    );
    let unknown = said(&candle.replace("kline.5.", "kline.7."));
    assert_eq!(unknown, Ok(Said::Ignored(Ignored::Kind)));

    let closed_long = r#"{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"BTCUSDT","S":"Buy","v":"0.500","p":"43511.70"}]}"#;
    let [event] = &events(VenueId::BybitLinear, closed_long)[..] else {
        panic!("one event");
    };
    let MarketData::Liquidation(liquidation) = event.data else {
        panic!("{event:?}");
    };
    assert_eq!(
        (
            liquidation.side,
            liquidation.price,
            liquidation.qty,
            liquidation.time
        ),
        (
            Side::Sell,
            Price(4_351_170),
            Qty(500),
            millis(1_739_502_302_929)
        )
    );
    let (spot, _) = decode(VenueId::BybitSpot, closed_long);
    assert_eq!(spot, Ok(Said::Ignored(Ignored::Kind)), "spot has none");
}

#[test]
fn answers_on_the_stream() {
    let answer = |id, error: Option<&str>| {
        let error = error.map(|words| (0, words.to_owned()));
        Ok(Said::Answer(Answer { id, error }))
    };
    for (frame, expected) in [
        (
            r#"{"success":true,"ret_msg":"subscribe","conn_id":"c","req_id":"17","op":"subscribe"}"#,
            answer(Some(17), None),
        ),
        (
            r#"{"op":"unsubscribe","req_id":"18","conn_id":"c","ret_msg":"","success":true}"#,
            answer(Some(18), None),
        ),
        (
            r#"{"success":false,"ret_msg":"error:handler not found,topic:x","conn_id":"c","req_id":"5","op":"subscribe"}"#,
            answer(Some(5), Some("error:handler not found,topic:x")),
        ),
        (
            r#"{"success":false,"ret_msg":"error:already subscribed,topic:x","conn_id":"c","req_id":"5","op":"subscribe"}"#,
            answer(Some(5), None),
        ),
        (
            r#"{"success":true,"ret_msg":"","req_id":"mine","op":"subscribe"}"#,
            answer(None, None),
        ),
        (
            r#"{"success":true,"ret_msg":"","op":"subscribe"}"#,
            answer(None, None),
        ),
        (
            r#"{"success":true,"ret_msg":"pong","conn_id":"c","req_id":"3","op":"ping"}"#,
            Ok(Said::Ignored(Ignored::Kind)),
        ),
        (
            r#"{"req_id":"3","op":"pong","args":["1675418560633"],"conn_id":"c"}"#,
            Ok(Said::Ignored(Ignored::Kind)),
        ),
    ] {
        assert_eq!(said(frame), expected, "{frame}");
    }
    for bad in [
        "{}",
        "[]",
        "",
        "{\"op\":1}",
        r#"{"op":"subscribe"}"#,
        r#"{"topic":1}"#,
    ] {
        assert!(said(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_unreadable_frame_still_names_its_victim() {
    let instrument = btc(VenueId::BybitLinear);
    let decoder = protocol(VenueId::BybitLinear).decoder(&[Reading {
        id: InstrumentId(4),
        instrument: &instrument,
        trades: protocol(VenueId::BybitLinear).trade_stream(),
    }]);
    let victim = |frame: &str| decoder.victim(frame.as_bytes());
    let is = |kind| Some((InstrumentId(4), kind));
    for (topic, kind) in [
        ("orderbook.50", TopicKind::Depth),
        ("orderbook.1", TopicKind::Quote),
        ("publicTrade", TopicKind::Trades),
    ] {
        let frame = format!("{{\"topic\":\"{topic}.BTCUSDT\"");
        assert_eq!(victim(&frame), is(kind));
    }
    assert_eq!(victim(r#"{"topic":"publicTrade.ETHUSDT""#), None);
    assert_eq!(victim(r#"{"topic":"tickers.BTCUSDT""#), None);
}
