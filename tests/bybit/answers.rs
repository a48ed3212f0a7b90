//! Answers of its REST calls.

use hean::kernel::types::{
    BandReference, Contract, Instrument, InstrumentStatus, Money, Price, PriceBand, Qty, Rate,
    Time, VenueId,
};
use hean::venue::decode_error::DecodeError;
use hean::venue::protocol::Complaint;

use super::{btc, millis, protocol};

fn listed(venue: VenueId, body: &str, symbol: &str) -> Result<Instrument, DecodeError> {
    let mut body = body.as_bytes().to_vec();
    let wanted = [symbol.to_owned()];
    let mut listings = protocol(venue)
        .decode_instruments(&mut body, &wanted, &|_| None)
        .unwrap();
    let (name, instrument) = listings.found.remove(0);
    assert_eq!(name, symbol);
    instrument
}

#[test]
fn instruments_of_linear() {
    let body = r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[
        {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","launchTime":"1584230400000","deliveryTime":"0","deliveryFeeRate":"","priceScale":"2","leverageFilter":{"minLeverage":"1","maxLeverage":"100.00","leverageStep":"0.01"},"priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001","postOnlyMaxOrderQty":"1190.000","maxMktOrderQty":"500.000","minNotionalValue":"5"},"unifiedMarginTrade":true,"fundingInterval":480,"settleCoin":"USDT","copyTrading":"both","upperFundingRate":"0.005","lowerFundingRate":"-0.005","isPreListing":false,"preListingInfo":null,"riskParameters":{"priceLimitRatioX":"0.01","priceLimitRatioY":"0.02"}},
        {"symbol":"BTCUSDT-26MAR27","contractType":"LinearFutures","status":"Delivering","baseCoin":"BTC","quoteCoin":"USDT","deliveryTime":"1805961600000","priceFilter":{"minPrice":"1","maxPrice":"1999998","tickSize":"1"},"lotSizeFilter":{"maxOrderQty":"5000","minOrderQty":"0.01","qtyStep":"0.01","maxMktOrderQty":"","minNotionalValue":""},"fundingInterval":0},
        {"symbol":"BTCUSD","contractType":"InversePerpetual","status":"PreLaunch","baseCoin":"BTC","quoteCoin":"USD","priceFilter":{"tickSize":"1"},"lotSizeFilter":{"qtyStep":"1"}}
    ],"nextPageCursor":"first%3DBTCUSD%26last%3DBTCUSDT"},"retExtInfo":{},"time":1700000000000}"#;
    let venue = VenueId::BybitLinear;
    let btc = listed(venue, body, "BTCUSDT").unwrap();
    let (price, qty) = (btc.price_scale, btc.qty_scale);
    let p = |text: &str| Price::parse(text.as_bytes(), price).unwrap();
    let q = |text: &str| Qty::parse(text.as_bytes(), qty).unwrap();
    assert_eq!((btc.base.as_str(), btc.quote.as_str()), ("BTC", "USDT"));
    assert_eq!(btc.contract, Contract::LinearPerpetual);
    assert_eq!(
        (btc.funding_minutes, btc.status),
        (480, InstrumentStatus::Trading)
    );
    assert_eq!(
        (btc.tick, btc.price_min, btc.price_max),
        (p("0.1"), p("0.1"), p("1999999.8"))
    );
    assert_eq!(
        (btc.lot, btc.qty_min, btc.qty_max, btc.market_qty_max),
        (q("0.001"), q("0.001"), q("1190"), q("500"))
    );
    assert_eq!(Ok(btc.notional_min), Money::parse("5"));
    assert_eq!((btc.maker_fee, btc.taker_fee), (Rate(20_000), Rate(55_000)));
    let band = PriceBand {
        reference: BandReference::LastOrMark,
        buy: (Rate(0), Rate::parse("1.02").unwrap()),
        sell: (Rate::parse("0.98").unwrap(), Rate(i64::MAX)),
    };
    assert_eq!(btc.band, Some(band));

    let future = listed(venue, body, "BTCUSDT-26MAR27").unwrap();
    let delivery = millis(1_805_961_600_000);
    assert_eq!(future.contract, Contract::LinearFuture { delivery });
    assert_eq!(future.status, InstrumentStatus::Delisted);
    assert_eq!(
        (future.notional_min, future.market_qty_max),
        (Money::ZERO, Qty::ZERO)
    );
    assert_eq!(future.band, None);
    assert!(listed(venue, body, "BTCUSD").is_err(), "not linear");

    let mut bytes = body.as_bytes().to_vec();
    let page = protocol(venue)
        .decode_instruments(&mut bytes, &[], &|_| None)
        .unwrap();
    assert_eq!(
        page.next.as_deref(),
        Some("first%3DBTCUSD%26last%3DBTCUSDT")
    );
    assert_eq!(page.names, ["BTCUSDT", "BTCUSDT-26MAR27", "BTCUSD"]);
    assert!(page.found.is_empty());
    let mut refused = br#"{"retCode":10001,"retMsg":"params error","result":{"list":[]}}"#.to_vec();
    assert!(
        protocol(venue)
            .decode_instruments(&mut refused, &[], &|_| None)
            .is_err()
    );
    assert!(protocol(venue).is_unknown_symbol(10_001));
}

#[test]
fn instruments_of_spot() {
    let body = r#"{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","innovation":"0","status":"Trading","marginTrading":"utaOnly","lotSizeFilter":{"basePrecision":"0.000001","quotePrecision":"0.0000001","minOrderQty":"0.000011","maxOrderQty":"83","minOrderAmt":"5","maxOrderAmt":"8000000","maxLimitOrderQty":"83.5","maxMarketOrderQty":"41.75","postOnlyMaxLimitOrderSize":"60000"},"priceFilter":{"tickSize":"0.01"},"riskParameters":{"priceLimitRatioX":"0.05","priceLimitRatioY":""}}]},"retExtInfo":{},"time":1700000000000}"#;
    let btc = listed(VenueId::BybitSpot, body, "BTCUSDT").unwrap();
    let q = |text: &str| Qty::parse(text.as_bytes(), btc.qty_scale).unwrap();
    assert_eq!(btc.contract, Contract::Spot);
    assert_eq!((btc.lot, btc.qty_min), (q("0.000001"), q("0.000011")));
    assert_eq!((btc.qty_max, btc.market_qty_max), (q("83.5"), q("41.75")));
    assert_eq!((btc.price_min, btc.price_max), (Price(0), Price(0)));
    assert_eq!(Ok(btc.notional_min), Money::parse("5"));
    assert_eq!(
        (btc.maker_fee, btc.taker_fee),
        (Rate(100_000), Rate(100_000))
    );
    assert_eq!(btc.band.map(|b| b.buy.1), Some(Rate(105_000_000)));
    assert_eq!(btc.funding_minutes, 0);
}

#[test]
fn history_is_turned_round() {
    let row = |start: i64, price: &str| {
        format!(r#"["{start}","{price}","{price}","{price}","{price}","2.0019","33.1234567"]"#)
    };
    let read = |symbol: &str, rows: &[String]| {
        let body = format!(
            r#"{{"retCode":0,"retMsg":"OK","result":{{"category":"linear","symbol":"{symbol}","list":[{}]}},"retExtInfo":{{}},"time":1}}"#,
            rows.join(",")
        );
        let venue = VenueId::BybitLinear;
        protocol(venue).decode_candles(body.as_bytes(), &btc(venue))
    };
    let (new, mid, old) = (row(180_000, "3"), row(120_000, "2"), row(60_000, "1"));
    let candles = read("BTCUSDT", &[new.clone(), mid.clone(), old.clone()]).unwrap();
    let summary: Vec<_> = candles
        .iter()
        .map(|c| (c.open_time.millis(), c.close))
        .collect();
    assert_eq!(
        summary,
        [
            (60_000, Price(100)),
            (120_000, Price(200)),
            (180_000, Price(300))
        ]
    );
    assert_eq!(
        (candles[0].volume, candles[0].quote_volume),
        (2_001, 3_312_345)
    );
    assert!(
        read("BTCUSDT", &[old.clone(), mid.clone()]).is_err(),
        "order"
    );
    assert!(
        read("ETHUSDT", std::slice::from_ref(&mid)).is_err(),
        "symbol"
    );
    let fine = row(120_000, "2.001");
    let kept = read("BTCUSDT", &[new, fine, old]).unwrap();
    assert_eq!(kept.len(), 1, "what is older than a finer tick is left out");
    assert_eq!(read("BTCUSDT", &[]), Ok(Vec::new()));
    assert!(read("BTCUSDT", &["[\"60000\",\"1\"]".to_owned()]).is_err());
}

#[test]
fn probe_time_and_complaints() {
    let linear = protocol(VenueId::BybitLinear);
    let instrument = btc(VenueId::BybitLinear);
    let book = br#"{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","b":[["27450.50","1.500"]],"a":[],"ts":1709891679000,"u":1234567,"seq":9876543,"cts":1709891679000},"time":1709891679050}"#;
    assert_eq!(linear.decode_probe(book, &instrument), Ok(9_876_543));
    let target = "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1";
    assert_eq!(linear.probe(&instrument).target, target);
    let time = br#"{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"},"retExtInfo":{},"time":1688639403423}"#;
    let expected = Ok(Time(1_688_639_403_423_213_947));
    assert_eq!(linear.decode_server_time(time), expected);
    assert!(
        linear
            .decode_server_time(br#"{"retCode":0,"result":{"timeNano":"-1"}}"#)
            .is_err()
    );
    assert!(
        linear
            .decode_server_time(br#"{"retCode":1,"result":{"timeNano":"1"}}"#)
            .is_err()
    );

    let refused = |code, message: &str| {
        let message = message.to_owned();
        Some(Complaint::Refused { code, message })
    };
    let throttled = |pause_s| Some(Complaint::Throttled { pause_s });
    for (status, body, expected) in [
        (200, &time[..], None),
        (200, b"not JSON", None),
        (
            200,
            br#"{"retCode":10001,"retMsg":"params error","result":{}}"#,
            refused(10_001, "params error"),
        ),
        (
            200,
            br#"{"retCode":10006,"retMsg":"Too many visits!"}"#,
            throttled(5),
        ),
        (200, br#"{"retCode":10429,"retMsg":"x"}"#, throttled(5)),
        (429, b"", throttled(5)),
        (
            403,
            b"<html>403, access too frequent</html>",
            throttled(600),
        ),
        (403, b"<html>country</html>", Some(Complaint::Blocked)),
        (451, b"", Some(Complaint::Blocked)),
        (502, b"<html>", refused(0, "")),
    ] {
        assert_eq!(linear.complaint(status, body), expected, "{status}");
    }
}
