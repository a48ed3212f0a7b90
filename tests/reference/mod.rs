//! A slow reading of the venues' frames, written apart from the decoders: `serde_json` finds the
//! structure, objects keep all their pairs, decimals are handled as strings. This file is Binance's.

mod node;

use hean::kernel::event::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Derivative, Kline, Level, Liquidation, MarketData,
    MarketEvent, Quote, Trade,
};
use hean::kernel::types::{Instrument, InstrumentId, MarkPrice, Price, Qty, Rate, Side, Time};
use hean::venue::binance::Market;
use hean::venue::binance::decode::Decoded;
use hean::venue::protocol::{Answer, Ignored, TradeStream};

pub(crate) use node::Node;

/// Why the reference refuses; for the reader of a failing test alone.
pub(crate) type Refusal = String;

/// The pairs of one object, with the rule about repetitions.
pub(crate) struct Object<'a>(&'a [(String, Node)]);

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
        Self::checked(pairs, counts)
    }

    /// None of the keys that count may repeat.
    pub(crate) fn checked(
        pairs: &'a [(String, Node)],
        counts: impl Fn(&str) -> bool,
    ) -> Result<Self, Refusal> {
        for (n, (key, _)) in pairs.iter().enumerate() {
            if counts(key) && pairs.iter().skip(n + 1).any(|(other, _)| other == key) {
                return Err(format!("{key} repeats"));
            }
        }
        Ok(Self(pairs))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, node)| node)
    }

    pub(crate) fn need(&self, key: &str) -> Result<&'a Node, Refusal> {
        self.get(key).ok_or_else(|| format!("{key} is missing"))
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str, Refusal> {
        text(self.need(key)?)
    }

    pub(crate) fn whole(&self, key: &str) -> Result<i128, Refusal> {
        whole(self.need(key)?)
    }

    pub(crate) fn id(&self, key: &str) -> Result<u64, Refusal> {
        u64::try_from(self.whole(key)?).map_err(|e| e.to_string())
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<bool, Refusal> {
        match self.need(key)? {
            Node::Raw(text) if text == "true" => Ok(true),
            Node::Raw(text) if text == "false" => Ok(false),
            _ => Err(format!("{key} is no boolean")),
        }
    }

    pub(crate) fn time(&self, key: &str) -> Result<Time, Refusal> {
        time(self.need(key)?)
    }

    /// A mark or index price: none if it is empty or zero.
    pub(crate) fn mark(&self, key: &str) -> Result<Option<MarkPrice>, Refusal> {
        if self.text(key)?.is_empty() {
            return Ok(None);
        }
        let value = i64::try_from(self.number(key, 8, true)?).map_err(|e| e.to_string())?;
        Ok((value != 0).then_some(MarkPrice(value)))
    }

    /// A rate, which may be negative: none if it is empty.
    pub(crate) fn rate(&self, key: &str) -> Result<Option<Rate>, Refusal> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) if !unsigned.starts_with('-') => (-1, unsigned),
            _ => (1, text),
        };
        let value = sign * decimal(unsigned, 8, true)?;
        i64::try_from(value)
            .map(Rate)
            .map(Some)
            .map_err(|e| e.to_string())
    }

    /// At `digits` decimals; finer ones are cut off where `cut` says so.
    pub(crate) fn number(&self, key: &str, digits: u8, cut: bool) -> Result<i128, Refusal> {
        decimal(self.text(key)?, digits, cut)
    }

    pub(crate) fn price(&self, key: &str, i: &Instrument) -> Result<Price, Refusal> {
        let value = self.number(key, i.price_scale.digits(), false)?;
        positive(value).map(Price)
    }

    pub(crate) fn qty(&self, key: &str, i: &Instrument) -> Result<Qty, Refusal> {
        let value = self.number(key, i.qty_scale.digits(), false)?;
        i64::try_from(value).map(Qty).map_err(|e| e.to_string())
    }

    pub(crate) fn levels(&self, key: &str, i: &Instrument) -> Result<Vec<Level>, Refusal> {
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

pub(crate) fn text(node: &Node) -> Result<&str, Refusal> {
    match node {
        Node::Text(text) => Ok(text),
        _ => Err("no string".to_owned()),
    }
}

pub(crate) fn time(node: &Node) -> Result<Time, Refusal> {
    let value = whole(node)?;
    let unit = if value < 100_000_000_000_000 {
        1_000_000
    } else {
        1_000
    };
    match value.checked_mul(unit).map(i64::try_from) {
        Some(Ok(nanos)) if nanos > 0 => Ok(Time(nanos)),
        _ => Err(format!("{value} is no time")),
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

pub(crate) fn positive(value: i128) -> Result<i64, Refusal> {
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

/// What a reader of frames knows beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) market: Market,
    pub(crate) trades: TradeStream,
    pub(crate) set: &'a [(InstrumentId, Instrument)],
    pub(crate) received: Time,
}

/// What `frame` says, or a refusal.
pub(crate) fn read(frame: &[u8], setting: Setting<'_>) -> Result<Decoded, Refusal> {
    let text = std::str::from_utf8(frame).map_err(|e| e.to_string())?;
    let node = Node::parse(text)?;
    let outer = Object::of(&node, &["stream", "data"])?;
    match (outer.get("stream"), outer.get("data")) {
        (None, None) => event(&outer, setting, true),
        (Some(Node::Text(stream)), Some(data)) if is_other_depth(stream) => {
            if let Node::Object(_) = data {
                Object::of(data, &[])?;
            }
            Ok(Decoded::Ignored(Ignored::Kind))
        }
        (Some(Node::Text(_)), Some(data @ Node::Object(_))) => {
            event(&Object::of(data, &[])?, setting, false)
        }
        (Some(Node::Text(_)), Some(_)) => Ok(Decoded::Ignored(Ignored::Kind)),
        _ => Err("half an envelope".to_owned()),
    }
}

/// Partial books, and those with retail price improvement.
fn is_other_depth(stream: &str) -> bool {
    if stream.contains("@rpiDepth") {
        return true;
    }
    let after = stream.split("@depth").nth(1);
    after.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn event(o: &Object<'_>, setting: Setting<'_>, bare: bool) -> Result<Decoded, Refusal> {
    let Setting {
        market: of,
        trades,
        set,
        received,
    } = setting;
    let futures = of == Market::Usdm;
    let coin_margined = |st: &Node| !matches!(st, Node::Raw(text) if text == "1");
    if futures && o.get("e").is_some() && o.get("st").is_some_and(coin_margined) {
        return Ok(Decoded::Ignored(Ignored::Symbol));
    }
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
        Some("markPriceUpdate" | "forceOrder") if futures => {}
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
    let order = match kind {
        Some("forceOrder") => Some(Object::of(o.need("o")?, &[])?),
        _ => None,
    };
    let symbol = order.as_ref().unwrap_or(o).text("s")?;
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
                prev_id: if futures {
                    o.id("pu")?
                } else {
                    o.id("U")?.max(1) - 1
                },
                first_id: o.id("U")?,
                last_id: o.id("u")?,
                seq: o.id("u")?,
                bids: o.levels("b", i)?,
                asks: o.levels("a", i)?,
            };
            if delta.first_id > delta.last_id {
                return Err("U > u".to_owned());
            }
            if delta.last_id > 0 && delta.prev_id >= delta.last_id {
                return Err("pu >= u".to_owned());
            }
            MarketData::Depth(Box::new(delta))
        }
        Some("aggTrade") if trades == TradeStream::Every => {
            return Ok(Decoded::Ignored(Ignored::NoTrades));
        }
        Some("trade") if trades == TradeStream::Aggregate => {
            return Ok(Decoded::Ignored(Ignored::NoTrades));
        }
        Some("trade")
            if futures
                && o.get("X")
                    .map(self::text)
                    .transpose()?
                    .is_some_and(|x| x != "MARKET") =>
        {
            MarketData::OffBook(o.id("t")?)
        }
        Some(kind @ ("trade" | "aggTrade")) => {
            let qty = o.qty("q", i)?;
            positive(i128::from(qty.0))?;
            let [id, first, last] = match kind {
                "trade" => ["t", "t", "t"],
                _ => ["a", "f", "l"],
            };
            if o.id(last)? < o.id(first)? {
                return Err("l < f".to_owned());
            }
            MarketData::Trade(Trade {
                id: o.id(id)?,
                first_id: o.id(first)?,
                last_id: o.id(last)?,
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
        Some("markPriceUpdate") => {
            let next = o
                .get("T")
                .filter(|t| !matches!(t, Node::Raw(t) if t == "0"));
            let index = o.get("i").map(|_| o.mark("i"));
            let rate = o.get("r").map(|_| o.rate("r"));
            MarketData::Derivative(Box::new(Derivative {
                mark: o.mark("p")?,
                index: index.transpose()?.flatten(),
                funding_rate: rate.transpose()?.flatten(),
                next_funding: next.map(self::time).transpose()?,
                open_interest: None,
            }))
        }
        Some("forceOrder") => {
            let order = order.ok_or("no order")?;
            let qty = order.qty("q", i)?;
            positive(i128::from(qty.0))?;
            MarketData::Liquidation(Liquidation {
                side: match order.text("S")? {
                    "BUY" => Side::Buy,
                    "SELL" => Side::Sell,
                    _ => return Err("no side".to_owned()),
                },
                price: order.price("p", i)?,
                qty,
                time: order.time("T")?,
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
