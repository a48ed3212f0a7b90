//! A slow reading of Bybit's frames.

use hean::kernel::event::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Derivative, Kline, Liquidation, MarketData,
    MarketEvent, Quote, Trade,
};
use hean::kernel::types::{Instrument, InstrumentId, Interval, Price, Side, Time};
use hean::venue::protocol::{Answer, Ignored, Said};

use crate::reference::{Node, Object, Refusal, positive, text, time};

const OUTER: [&str; 9] = [
    "topic", "type", "ts", "cts", "data", "success", "ret_msg", "req_id", "op",
];
const FACTS: [&str; 16] = [
    "s",
    "b",
    "a",
    "u",
    "seq",
    "symbol",
    "prevPrice24h",
    "highPrice24h",
    "lowPrice24h",
    "volume24h",
    "turnover24h",
    "markPrice",
    "indexPrice",
    "openInterest",
    "fundingRate",
    "nextFundingTime",
];
const EXECUTION: [&str; 7] = ["T", "s", "S", "v", "p", "i", "BT"];
const BAR: [&str; 10] = [
    "start",
    "interval",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "turnover",
    "confirm",
    "timestamp",
];
const INTERVALS: [(&str, &str); 13] = [
    ("1", "1m"),
    ("3", "3m"),
    ("5", "5m"),
    ("15", "15m"),
    ("30", "30m"),
    ("60", "1h"),
    ("120", "2h"),
    ("240", "4h"),
    ("360", "6h"),
    ("720", "12h"),
    ("D", "1d"),
    ("W", "1w"),
    ("M", "1M"),
];

/// An object of which none of these keys repeats.
fn unique<'a>(node: &'a Node, keys: &[&str]) -> Result<Object<'a>, Refusal> {
    let Node::Object(pairs) = node else {
        return Err("no object".to_owned());
    };
    Object::checked(pairs, |key| keys.contains(&key))
}

/// What `frame` says, or a refusal.
pub(crate) fn read(
    frame: &[u8],
    linear: bool,
    set: &[(InstrumentId, Instrument)],
    received: Time,
) -> Result<(Said, Vec<MarketEvent>), Refusal> {
    let frame = std::str::from_utf8(frame).map_err(|e| e.to_string())?;
    let node = Node::parse(frame)?;
    let outer = unique(&node, &OUTER)?;
    if let Some(data @ Node::Object(_)) = outer.get("data") {
        unique(data, &FACTS)?;
    }
    let nothing = |why| Ok((Said::Ignored(why), Vec::new()));
    let Some(topic) = outer.get("topic") else {
        return answer(&outer);
    };
    let parts: Vec<&str> = text(topic)?.split('.').collect();
    let (argument, symbol) = match parts.as_slice() {
        ["publicTrade" | "tickers" | "allLiquidation", rest @ ..] => ("", rest.join(".")),
        ["orderbook" | "kline", argument, rest @ ..] => (*argument, rest.join(".")),
        _ => return nothing(Ignored::Kind),
    };
    if parts.len() < 2 || (!argument.is_empty() && parts.len() < 3) {
        return nothing(Ignored::Kind);
    }
    let interval = INTERVALS.iter().find(|(theirs, _)| *theirs == argument);
    let digits = argument.bytes().all(|c| c.is_ascii_digit()) && !argument.starts_with('0');
    let depth: Option<u16> = argument.parse().ok().filter(|_| digits);
    if (parts[0] == "orderbook" && depth.is_none()) || (parts[0] == "kline" && interval.is_none()) {
        return nothing(Ignored::Kind);
    }
    let Some((id, i)) = set.iter().find(|(_, i)| i.name.symbol == symbol) else {
        return nothing(Ignored::Symbol);
    };
    let sent = stamp(outer.need("ts")?)?;
    let at = outer.get("cts").map_or(Ok(sent), stamp)?;
    if parts[0] == "allLiquidation" && !linear {
        return nothing(Ignored::Kind);
    }
    let mut events = Vec::new();
    let mut empty = Ignored::NoTrades;
    match parts[0] {
        "orderbook" => {
            let facts = unique(outer.need("data")?, &FACTS)?;
            empty = Ignored::Kind;
            events.extend(book(&outer, &facts, depth.unwrap_or(0), i)?);
        }
        "tickers" => {
            let facts = unique(outer.need("data")?, &FACTS)?;
            events = ticker(&facts, linear, i)?;
        }
        stream => {
            let Node::Array(items) = outer.need("data")? else {
                return Err("data is no array".to_owned());
            };
            for item in items {
                events.extend(match (stream, interval) {
                    ("kline", Some((theirs, ours))) => Some(bar(item, theirs, ours, i)?),
                    _ => execution(item, stream == "publicTrade", i)?,
                });
            }
        }
    }
    if events.is_empty() {
        return nothing(empty);
    }
    let event = |data| MarketEvent {
        instrument: *id,
        venue_time: at,
        received,
        data,
    };
    Ok((Said::Market, events.into_iter().map(event).collect()))
}

fn stamp(node: &Node) -> Result<Time, Refusal> {
    match node {
        Node::Text(text) => time(&Node::Raw(text.clone())),
        other => time(other),
    }
}

fn same(o: &Object<'_>, key: &str, i: &Instrument) -> Result<(), Refusal> {
    if o.text(key)? == i.name.symbol {
        Ok(())
    } else {
        Err("another symbol".to_owned())
    }
}

fn book(
    outer: &Object<'_>,
    o: &Object<'_>,
    depth: u16,
    i: &Instrument,
) -> Result<Option<MarketData>, Refusal> {
    same(o, "s", i)?;
    let (last_id, seq) = (o.id("u")?, o.id("seq")?);
    let (bids, asks) = (o.levels("b", i)?, o.levels("a", i)?);
    Ok(Some(match (outer.text("type")?, depth) {
        ("snapshot", 1) => {
            let mut top = (None, None);
            for bid in bids {
                if top
                    .0
                    .is_none_or(|best: hean::kernel::event::Level| bid.price >= best.price)
                {
                    top.0 = Some(bid);
                }
            }
            for ask in asks {
                if top
                    .1
                    .is_none_or(|best: hean::kernel::event::Level| ask.price < best.price)
                {
                    top.1 = Some(ask);
                }
            }
            let (Some(bid), Some(ask)) = top else {
                return Ok(None);
            };
            MarketData::Quote(Quote {
                update_id: seq,
                bid,
                ask,
            })
        }
        ("snapshot", _) => MarketData::Snapshot(Box::new(DepthSnapshot {
            last_id,
            seq,
            window: Some(depth),
            bids,
            asks,
        })),
        ("delta", 2..) => MarketData::Depth(Box::new(DepthDelta {
            prev_id: last_id.max(1) - 1,
            first_id: last_id,
            last_id,
            seq,
            bids,
            asks,
        })),
        _ => return Err("no such type".to_owned()),
    }))
}

fn execution(node: &Node, is_trade: bool, i: &Instrument) -> Result<Option<MarketData>, Refusal> {
    let o = unique(node, &EXECUTION)?;
    same(&o, "s", i)?;
    let side = match o.text("S")? {
        "Buy" => Side::Buy,
        "Sell" => Side::Sell,
        _ => return Err("no side".to_owned()),
    };
    let (price, qty, time) = (o.price("p", i)?, o.qty("v", i)?, o.time("T")?);
    positive(i128::from(qty.0))?;
    if !is_trade {
        return Ok(Some(MarketData::Liquidation(Liquidation {
            side: side.opposite(),
            price,
            qty,
            time,
        })));
    }
    let id = trade_id(o.text("i")?)?;
    if o.get("BT").is_some() && o.boolean("BT")? {
        return Ok(None);
    }
    Ok(Some(MarketData::Trade(Trade {
        id,
        first_id: id,
        last_id: id,
        price,
        qty,
        taker: side,
        time,
    })))
}

fn trade_id(text: &str) -> Result<u64, Refusal> {
    let bad = || format!("{text:?} is no id");
    if text.bytes().all(|c| c.is_ascii_digit()) {
        return text.parse().map_err(|_| bad());
    }
    let fits = text.len() == 36
        && text.bytes().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_hexdigit(),
        });
    let hex: String = text.chars().filter(|c| *c != '-').take(16).collect();
    u64::from_str_radix(&hex, 16)
        .ok()
        .filter(|_| fits)
        .ok_or_else(bad)
}

fn bar(node: &Node, theirs: &str, ours: &str, i: &Instrument) -> Result<MarketData, Refusal> {
    let o = unique(node, &BAR)?;
    if o.get("interval").is_some() && o.text("interval")? != theirs {
        return Err("another interval".to_owned());
    }
    let interval: Interval = ours.parse().map_err(|_| "interval".to_owned())?;
    let turnover = i.price_scale.digits() + i.qty_scale.digits();
    let candle = Candle {
        open_time: o.time("start")?,
        open: o.price("open", i)?,
        high: o.price("high", i)?,
        low: o.price("low", i)?,
        close: o.price("close", i)?,
        volume: o.number("volume", i.qty_scale.digits(), false)?,
        quote_volume: o.number("turnover", turnover, true)?,
        trades: 0,
    };
    let inside = |p: Price| candle.low <= p && p <= candle.high;
    if !inside(candle.open) || !inside(candle.close) {
        return Err("prices outside of the candle".to_owned());
    }
    Ok(MarketData::Kline(Box::new(Kline {
        interval,
        candle,
        trade_ids: None,
        traded_at: Some(o.time("timestamp")?),
        closed: o.boolean("confirm")?,
    })))
}

fn ticker(o: &Object<'_>, linear: bool, i: &Instrument) -> Result<Vec<MarketData>, Refusal> {
    same(o, "symbol", i)?;
    let filled = |key: &str| match o.get(key) {
        None => Ok(false),
        Some(node) => Ok::<_, Refusal>(!text(node)?.is_empty()),
    };
    let price = |key: &str| {
        if !filled(key)? {
            return Ok(None);
        }
        let value = o.number(key, i.price_scale.digits(), false)?;
        let value = i64::try_from(value).map_err(|e| e.to_string())?;
        Ok::<_, Refusal>((value > 0).then_some(Price(value)))
    };
    let volume = |key: &str, digits: u8| {
        let cut = |filled: bool| filled.then(|| o.number(key, digits, true)).transpose();
        cut(filled(key)?)
    };
    let (lots, prices) = (i.qty_scale.digits(), i.price_scale.digits());
    let stats = DayStats {
        open: price("prevPrice24h")?,
        high: price("highPrice24h")?,
        low: price("lowPrice24h")?,
        volume: volume("volume24h", lots)?,
        quote_volume: volume("turnover24h", lots + prices)?,
    };
    if stats.high.is_some_and(|high| stats.low > Some(high)) {
        return Err("high < low".to_owned());
    }
    let mut events = Vec::new();
    if stats != DayStats::default() {
        events.push(MarketData::Stats(Box::new(stats)));
    }
    if linear {
        let given = |key: &str| o.get(key).is_some();
        let mark = |key: &str| if given(key) { o.mark(key) } else { Ok(None) };
        let figures = Derivative {
            mark: mark("markPrice")?,
            index: mark("indexPrice")?,
            funding_rate: if given("fundingRate") {
                o.rate("fundingRate")?
            } else {
                None
            },
            next_funding: if filled("nextFundingTime")? && o.text("nextFundingTime")? != "0" {
                Some(stamp(o.need("nextFundingTime")?)?)
            } else {
                None
            },
            open_interest: volume("openInterest", lots)?,
        };
        if figures != Derivative::default() {
            events.push(MarketData::Derivative(Box::new(figures)));
        }
    }
    Ok(events)
}

fn answer(o: &Object<'_>) -> Result<(Said, Vec<MarketEvent>), Refusal> {
    match o.get("op").map(text).transpose()? {
        Some("subscribe" | "unsubscribe") => {}
        Some(_) => return Ok((Said::Ignored(Ignored::Kind), Vec::new())),
        None if o.get("success").is_some() => {}
        None => return Err("nothing known".to_owned()),
    }
    let id = o.get("req_id").map(text).transpose()?.unwrap_or_default();
    let digits = id.strip_prefix('-').unwrap_or(id);
    let is_number = digits.bytes().all(|c| c.is_ascii_digit());
    let error = if o.boolean("success")? {
        None
    } else {
        let words = o.text("ret_msg")?;
        let again = words.starts_with("error:already subscribed");
        (!again).then(|| (0, words.to_owned()))
    };
    let id = id.parse().ok().filter(|_| is_number);
    Ok((Said::Answer(Answer { id, error }), Vec::new()))
}
