//! A slow reading of Binance's spot frames, written apart from the decoder: `serde_json` finds the
//! structure, objects keep all their pairs, decimals are handled as strings.

use std::fmt;

use hean::kernel::event::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Kline, Level, MarketData, MarketEvent, Quote,
    Trade,
};
use hean::kernel::types::{Instrument, InstrumentId, Price, Qty, Side, Time};
use hean::venue::binance::decode::Decoded;
use hean::venue::protocol::{Answer, Ignored};
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value that keeps everything: the order of pairs, repeated keys, the text of numbers.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Pairs in order.
    Object(Vec<(String, Node)>),
    /// Elements.
    Array(Vec<Node>),
    /// Unescaped.
    Text(String),
    /// A number, `true`, `false`, `null`, or anything that a test puts there.
    Raw(String),
}

type Pairs = Vec<(String, Node)>;
/// Why the reference refuses; for the reader of a failing test alone.
pub(crate) type Refusal = String;

struct RawPairs(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for RawPairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = RawPairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawPairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(RawPairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Node {
    /// Parses a whole text; nesting beyond 16 is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        Self::nested(text, 0)
    }

    fn nested(text: &str, depth: usize) -> Result<Self, Refusal> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let bad = |e: serde_json::Error| e.to_string();
        if text.starts_with(['{', '[']) && depth == 16 {
            return Err("too deep".to_owned());
        }
        if text.starts_with('{') {
            let RawPairs(pairs) = serde_json::from_str(text).map_err(bad)?;
            let inner = |(key, raw): (String, Box<RawValue>)| {
                Ok((key, Self::nested(raw.get(), depth + 1)?))
            };
            return pairs
                .into_iter()
                .map(inner)
                .collect::<Result<_, Refusal>>()
                .map(Node::Object);
        }
        if text.starts_with('[') {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(bad)?;
            let items = items.iter().map(|raw| Self::nested(raw.get(), depth + 1));
            return items.collect::<Result<_, Refusal>>().map(Node::Array);
        }
        if text.starts_with('"') {
            return serde_json::from_str(text).map(Node::Text).map_err(bad);
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(bad)?;
        Ok(Node::Raw(raw.get().to_owned()))
    }

    /// Number of objects in here, this one included.
    fn objects(&self) -> usize {
        match self {
            Node::Object(pairs) => 1 + pairs.iter().map(|(_, n)| n.objects()).sum::<usize>(),
            Node::Array(items) => items.iter().map(Node::objects).sum(),
            Node::Text(_) | Node::Raw(_) => 0,
        }
    }

    /// Changes object number `n`, counted from the outermost.
    fn change(&mut self, n: &mut usize, how: &mut dyn FnMut(&mut Pairs)) {
        match self {
            Node::Object(pairs) => {
                if *n == 0 {
                    how(pairs);
                }
                *n = n.wrapping_sub(1);
                for (_, node) in pairs {
                    node.change(n, how);
                }
            }
            Node::Array(items) => items.iter_mut().for_each(|node| node.change(n, how)),
            Node::Text(_) | Node::Raw(_) => {}
        }
    }

    /// Changes one object that `pick` (a number below its argument) chooses.
    pub(crate) fn change_one(
        &mut self,
        pick: &mut dyn FnMut(usize) -> usize,
        mut how: impl FnMut(&mut Vec<(String, Node)>, &mut dyn FnMut(usize) -> usize),
    ) {
        let mut n = pick(self.objects());
        self.change(&mut n, &mut |pairs| how(pairs, pick));
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::to_string(text).map_err(|_| fmt::Error);
        match self {
            Node::Object(pairs) => {
                f.write_str("{")?;
                for (n, (key, node)) in pairs.iter().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{node}", quoted(key)?)?;
                }
                f.write_str("}")
            }
            Node::Array(items) => {
                f.write_str("[")?;
                for (n, node) in items.iter().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{node}")?;
                }
                f.write_str("]")
            }
            Node::Text(text) => f.write_str(&quoted(text)?),
            Node::Raw(text) => f.write_str(text),
        }
    }
}

/// The pairs of one object, with the rule about repetitions.
struct Object<'a>(&'a [(String, Node)]);

const WORDS: [&str; 10] = [
    "pu",
    "st",
    "lastUpdateId",
    "bids",
    "asks",
    "result",
    "error",
    "id",
    "code",
    "msg",
];

impl<'a> Object<'a> {
    /// One-letter keys and the words of the protocol must not repeat, nor must `more`.
    fn of(node: &'a Node, more: &[&str]) -> Result<Self, Refusal> {
        let Node::Object(pairs) = node else {
            return Err("no object".to_owned());
        };
        let counts = |key: &str| {
            let letter = key.len() == 1 && ('A'..='z').contains(&key.chars().next().unwrap_or(' '));
            letter || WORDS.contains(&key) || more.contains(&key)
        };
        for (n, (key, _)) in pairs.iter().enumerate() {
            if counts(key) && pairs.iter().skip(n + 1).any(|(other, _)| other == key) {
                return Err(format!("{key} repeats"));
            }
        }
        Ok(Self(pairs))
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, node)| node)
    }

    fn need(&self, key: &str) -> Result<&'a Node, Refusal> {
        self.get(key).ok_or_else(|| format!("{key} is missing"))
    }

    fn text(&self, key: &str) -> Result<&'a str, Refusal> {
        text(self.need(key)?)
    }

    fn whole(&self, key: &str) -> Result<i128, Refusal> {
        whole(self.need(key)?)
    }

    fn id(&self, key: &str) -> Result<u64, Refusal> {
        u64::try_from(self.whole(key)?).map_err(|e| e.to_string())
    }

    fn boolean(&self, key: &str) -> Result<bool, Refusal> {
        match self.need(key)? {
            Node::Raw(text) if text == "true" => Ok(true),
            Node::Raw(text) if text == "false" => Ok(false),
            _ => Err(format!("{key} is no boolean")),
        }
    }

    fn time(&self, key: &str) -> Result<Time, Refusal> {
        let value = self.whole(key)?;
        let unit = if value < 100_000_000_000_000 {
            1_000_000
        } else {
            1_000
        };
        match value.checked_mul(unit).map(i64::try_from) {
            Some(Ok(nanos)) if nanos > 0 => Ok(Time(nanos)),
            _ => Err(format!("{key} is no time")),
        }
    }

    /// At `digits` decimals; finer ones are cut off where `cut` says so.
    fn number(&self, key: &str, digits: u8, cut: bool) -> Result<i128, Refusal> {
        decimal(self.text(key)?, digits, cut)
    }

    fn price(&self, key: &str, i: &Instrument) -> Result<Price, Refusal> {
        let value = self.number(key, i.price_scale.digits(), false)?;
        positive(value).map(Price)
    }

    fn qty(&self, key: &str, i: &Instrument) -> Result<Qty, Refusal> {
        let value = self.number(key, i.qty_scale.digits(), false)?;
        i64::try_from(value).map(Qty).map_err(|e| e.to_string())
    }

    fn levels(&self, key: &str, i: &Instrument) -> Result<Vec<Level>, Refusal> {
        let Node::Array(items) = self.need(key)? else {
            return Err(format!("{key} is no array"));
        };
        let level = |item: &Node| {
            let Node::Array(pair) = item else {
                return Err("no pair".to_owned());
            };
            let [price, qty, ..] = pair.as_slice() else {
                return Err("short pair".to_owned());
            };
            let price = decimal(text(price)?, i.price_scale.digits(), false)?;
            let qty = decimal(text(qty)?, i.qty_scale.digits(), false)?;
            Ok(Level {
                price: Price(positive(price)?),
                qty: Qty(i64::try_from(qty).map_err(|e| e.to_string())?),
            })
        };
        items.iter().map(level).collect()
    }
}

fn text(node: &Node) -> Result<&str, Refusal> {
    match node {
        Node::Text(text) => Ok(text),
        _ => Err("no string".to_owned()),
    }
}

fn whole(node: &Node) -> Result<i128, Refusal> {
    match node {
        Node::Raw(text) if text == "-0" => Err("minus zero".to_owned()),
        Node::Raw(text)
            if text
                .trim_start_matches('-')
                .bytes()
                .all(|c| c.is_ascii_digit()) =>
        {
            text.parse().map_err(|_| "no integer".to_owned())
        }
        _ => Err("no integer".to_owned()),
    }
}

fn positive(value: i128) -> Result<i64, Refusal> {
    let value = i64::try_from(value).map_err(|e| e.to_string())?;
    if value > 0 {
        Ok(value)
    } else {
        Err("not positive".to_owned())
    }
}

/// Not negative, `digits` decimals.
fn decimal(text: &str, digits: u8, cut: bool) -> Result<i128, Refusal> {
    let refuse = || format!("{text:?} is no number here");
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((_, "")) => return Err(refuse()),
        Some((whole, fraction)) => (whole, fraction),
        None => (unsigned, ""),
    };
    let all_digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(refuse());
    }
    let wanted = usize::from(digits);
    let padded = format!("{fraction:0<wanted$}");
    let (kept, finer) = padded.split_at(wanted);
    if !cut && finer.contains(|c| c != '0') {
        return Err(refuse());
    }
    let value: i128 = format!("{whole}{kept}").parse().map_err(|_| refuse())?;
    if negative && value != 0 {
        Err(refuse())
    } else {
        Ok(value)
    }
}

/// What `frame` says, or a refusal.
pub(crate) fn read(
    frame: &[u8],
    set: &[(InstrumentId, Instrument)],
    received: Time,
) -> Result<Decoded, Refusal> {
    let text = std::str::from_utf8(frame).map_err(|e| e.to_string())?;
    let node = Node::parse(text)?;
    let outer = Object::of(&node, &["stream", "data"])?;
    match (outer.get("stream"), outer.get("data")) {
        (None, None) => event(&outer, set, received, true),
        (Some(Node::Text(stream)), Some(data @ Node::Object(_))) => {
            let inner = Object::of(data, &[])?;
            if is_partial(stream) {
                return Ok(Decoded::Ignored(Ignored::Kind));
            }
            event(&inner, set, received, false)
        }
        (Some(Node::Text(_)), Some(_)) => Ok(Decoded::Ignored(Ignored::Kind)),
        _ => Err("half an envelope".to_owned()),
    }
}

fn is_partial(stream: &str) -> bool {
    let after = stream.split("@depth").nth(1);
    after.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn event(
    o: &Object<'_>,
    set: &[(InstrumentId, Instrument)],
    received: Time,
    bare: bool,
) -> Result<Decoded, Refusal> {
    let kind = o.get("e").map(self::text).transpose()?;
    let market = |instrument, venue_time, data| {
        Ok(Decoded::Market(MarketEvent {
            instrument,
            venue_time,
            received,
            data,
        }))
    };
    match kind {
        Some("serverShutdown") => return Ok(Decoded::Shutdown),
        Some("depthUpdate" | "trade" | "aggTrade" | "bookTicker" | "kline" | "24hrMiniTicker") => {}
        Some(_) => return Ok(Decoded::Ignored(Ignored::Kind)),
        None if o.get("lastUpdateId").is_some() => {
            if !bare {
                return Ok(Decoded::Ignored(Ignored::Kind));
            }
            let [(id, i)] = set else {
                return Err("a snapshot of what?".to_owned());
            };
            let snapshot = DepthSnapshot {
                last_id: o.id("lastUpdateId")?,
                seq: o.id("lastUpdateId")?,
                window: None,
                bids: o.levels("bids", i)?,
                asks: o.levels("asks", i)?,
            };
            return market(*id, received, MarketData::Snapshot(Box::new(snapshot)));
        }
        None if bare
            && ["result", "error", "code"]
                .iter()
                .any(|k| o.get(k).is_some()) =>
        {
            return answer(o).map(Decoded::Answer);
        }
        None if o.get("u").is_some() => {}
        None => return Err("nothing known".to_owned()),
    }
    let symbol = o.text("s")?;
    let Some((id, i)) = set.iter().find(|(_, i)| i.name.symbol == symbol) else {
        return Ok(Decoded::Ignored(Ignored::Symbol));
    };
    let time = if kind.is_some() || o.get("E").is_some() {
        o.time("E")?
    } else {
        received
    };
    let turnover = i.price_scale.digits() + i.qty_scale.digits();
    let data = match kind {
        Some("depthUpdate") => {
            let delta = DepthDelta {
                prev_id: o.id("U")?.max(1) - 1,
                first_id: o.id("U")?,
                last_id: o.id("u")?,
                seq: o.id("u")?,
                bids: o.levels("b", i)?,
                asks: o.levels("a", i)?,
            };
            if delta.first_id > delta.last_id {
                return Err("U > u".to_owned());
            }
            MarketData::Depth(Box::new(delta))
        }
        Some("aggTrade") => return Ok(Decoded::Ignored(Ignored::NoTrades)),
        Some("trade") => {
            let qty = o.qty("q", i)?;
            positive(i128::from(qty.0))?;
            MarketData::Trade(Trade {
                id: o.id("t")?,
                first_id: o.id("t")?,
                last_id: o.id("t")?,
                price: o.price("p", i)?,
                qty,
                taker: if o.boolean("m")? {
                    Side::Sell
                } else {
                    Side::Buy
                },
                time: o.time("T")?,
            })
        }
        Some("kline") => {
            let k = Object::of(o.need("k")?, &[])?;
            let candle = Candle {
                open_time: k.time("t")?,
                open: k.price("o", i)?,
                high: k.price("h", i)?,
                low: k.price("l", i)?,
                close: k.price("c", i)?,
                volume: k.number("v", i.qty_scale.digits(), false)?,
                quote_volume: k.number("q", turnover, true)?,
                trades: k.id("n")?,
            };
            let inside = |p: Price| candle.low <= p && p <= candle.high;
            if !inside(candle.open) || !inside(candle.close) {
                return Err("prices outside of the candle".to_owned());
            }
            let signed = |key| i64::try_from(k.whole(key)?).map_err(|e| e.to_string());
            let (first, last) = (signed("f")?, signed("L")?);
            let trade_ids = match (u64::try_from(first), u64::try_from(last)) {
                (Ok(first), Ok(last)) if first <= last => Some((first, last)),
                _ if first == -1 && last == -1 => None,
                _ => return Err("trade ids".to_owned()),
            };
            MarketData::Kline(Box::new(Kline {
                interval: k.text("i")?.parse().map_err(|_| "interval".to_owned())?,
                candle,
                trade_ids,
                traded_at: None,
                closed: k.boolean("x")?,
            }))
        }
        Some("24hrMiniTicker") => {
            let digits = i.price_scale.digits();
            let volume = o.number("v", i.qty_scale.digits(), false)?;
            let quote_volume = o.number("q", turnover, true)?;
            let prices = ["o", "h", "l"].map(|key| o.number(key, digits, false));
            let [open, high, low] = prices;
            let narrow = |p: Result<i128, Refusal>| i64::try_from(p?).map_err(|e| e.to_string());
            let (open, high, low) = (narrow(open)?, narrow(high)?, narrow(low)?);
            if open == 0 || high == 0 || low == 0 {
                if volume == 0 {
                    return Ok(Decoded::Ignored(Ignored::NoTrades));
                }
                return Err("traded at zero".to_owned());
            }
            if high < low {
                return Err("high < low".to_owned());
            }
            MarketData::Stats(Box::new(DayStats {
                open: Some(Price(open)),
                high: Some(Price(high)),
                low: Some(Price(low)),
                volume: Some(volume),
                quote_volume: Some(quote_volume),
            }))
        }
        _ => MarketData::Quote(Quote {
            update_id: o.id("u")?,
            bid: Level {
                price: o.price("b", i)?,
                qty: o.qty("B", i)?,
            },
            ask: Level {
                price: o.price("a", i)?,
                qty: o.qty("A", i)?,
            },
        }),
    };
    market(*id, time, data)
}

fn answer(o: &Object<'_>) -> Result<Answer, Refusal> {
    let null = |node: &Node| matches!(node, Node::Raw(text) if text == "null");
    let signed =
        |o: &Object<'_>, key: &str| i64::try_from(o.whole(key)?).map_err(|e| e.to_string());
    let complaint =
        |o: &Object<'_>| Ok::<_, Refusal>((signed(o, "code")?, o.text("msg")?.to_owned()));
    let id = match o.get("id") {
        None | Some(Node::Text(_)) => None,
        Some(node) if null(node) => None,
        Some(_) => Some(signed(o, "id")?),
    };
    let error = match o.get("error") {
        Some(node) if null(node) => None,
        Some(node) => Some(complaint(&Object::of(node, &[])?)?),
        None if o.get("code").is_some() => Some(complaint(o)?),
        None => None,
    };
    Ok(Answer { id, error })
}
