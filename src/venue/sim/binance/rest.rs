//! The public REST endpoints of Binance, in its shapes and error codes.
//!
//! Pure reading of a market's state: an endpoint and a query in, a status and a JSON body out.

use parking_lot::Mutex;

use super::{rules, text};
use crate::kernel::types::{Instrument, Time};
use crate::venue::sim::answer::Answer;
use crate::venue::sim::candles::Bar;
use crate::venue::sim::market::{Listed, Market, MarketKind};
use crate::venue::sim::number::{array, put};
use crate::venue::sim::query::{NotANumber, Query};
use crate::venue::sim::symbol::{Symbol, buyer_is_maker, executions};

/// A refused request: Binance's code and words.
#[derive(Debug)]
struct Refused {
    code: i32,
    words: String,
}

fn refused(code: i32, words: impl Into<String>) -> Refused {
    Refused {
        code,
        words: words.into(),
    }
}

fn missing(name: &str) -> Refused {
    refused(
        -1102,
        format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
    )
}

/// Request weight per minute of an address.
pub(in crate::venue::sim) const fn weight_max(kind: MarketKind) -> u64 {
    match kind {
        MarketKind::Usdm => 2_400,
        _ => 6_000,
    }
}

/// Answers `GET name?query`; `used` counts a weight, and says what is used up in this minute and
/// how many seconds there are until the next.
pub(in crate::venue::sim) fn answer(
    market: &Market,
    now: Time,
    name: &str,
    query: &str,
    used: impl FnOnce(u64) -> (u64, u64),
) -> Answer {
    let Some(query) = Query::parse(query) else {
        let words = "A parameter is not percent-encoded UTF-8.";
        return Answer::refusal(400, -1101, words);
    };
    let (weight, retry_after) = used(weight(market.kind, name, &query));
    let answer = if weight > weight_max(market.kind) {
        throttled(market.kind).header("retry-after", retry_after)
    } else {
        let request = Request {
            market,
            now,
            query: &query,
        };
        match request.body(name) {
            Some(Ok(body)) => Answer::ok(body),
            Some(Err(error)) => Answer::refusal(400, error.code, &error.words),
            None => Answer::nowhere(name),
        }
    };
    let answer = answer.header("x-mbx-used-weight-1m", weight);
    match market.kind {
        MarketKind::Spot => answer.header("x-mbx-used-weight", weight),
        _ => answer,
    }
}

/// The refusal of a request too many.
pub(in crate::venue::sim) fn throttled(kind: MarketKind) -> Answer {
    let most = weight_max(kind);
    let words = format!(
        "Too much request weight used; current limit is {most} request weight per 1 MINUTE. Please \
         use WebSocket Streams for live updates to avoid polling the API."
    );
    Answer::refusal(429, -1003, &words)
}

/// What a request costs.
fn weight(kind: MarketKind, name: &str, query: &Query) -> u64 {
    let one = query.get("symbol").is_some();
    let limit = |default| query.number("limit").ok().flatten().unwrap_or(default);
    let usdm = kind == MarketKind::Usdm;
    match name {
        "exchangeInfo" if usdm => 1,
        "exchangeInfo" => 20,
        "depth" if usdm => match limit(500) {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        "depth" => match limit(100) {
            0..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        "trades" if usdm => 5,
        "trades" => 25,
        "aggTrades" if usdm => 20,
        "aggTrades" => 4,
        "klines" if usdm => match limit(500) {
            0..=99 => 1,
            100..=499 => 2,
            500..=1_000 => 5,
            _ => 10,
        },
        "klines" => 2,
        "premiumIndex" if !one => 10,
        "ticker/24hr" if usdm && !one => 40,
        "ticker/24hr" if usdm => 1,
        "ticker/24hr" if !one => 80,
        "ticker/24hr" => 2,
        "ticker/price" | "ticker/bookTicker" if one => 2,
        "ticker/price" => {
            if usdm {
                2
            } else {
                4
            }
        }
        "ticker/bookTicker" => {
            if usdm {
                5
            } else {
                4
            }
        }
        _ => 1,
    }
}

/// A request that is let through.
struct Request<'a> {
    market: &'a Market,
    now: Time,
    query: &'a Query,
}

type Result<T> = std::result::Result<T, Refused>;

impl Request<'_> {
    /// The body of an endpoint's answer; `None` where the market has no such endpoint.
    fn body(&self, name: &str) -> Option<Result<String>> {
        let usdm = self.market.kind == MarketKind::Usdm;
        Some(match name {
            "ping" => Ok("{}".to_owned()),
            "time" => Ok(format!("{{\"serverTime\":{}}}", self.now.millis())),
            "exchangeInfo" => self.exchange_info(),
            "depth" => self.depth(),
            "trades" => self.trades(),
            "aggTrades" => self.agg_trades(),
            "klines" => self.klines(),
            "premiumIndex" if usdm => self.per_symbol(|s| text::premium_index(s, self.now)),
            "openInterest" if usdm => self.open_interest(),
            "ticker/24hr" => self.per_symbol(|symbol| {
                let day = symbol.candles.day(self.now)?;
                Some(text::ticker_rest(symbol, self.now, &day))
            }),
            "ticker/price" => self.per_symbol(|symbol| self.price(symbol)),
            "ticker/bookTicker" => self.per_symbol(|symbol| self.book_ticker(symbol)),
            _ => return None,
        })
    }

    fn exchange_info(&self) -> Result<String> {
        let symbols = match self.market.kind {
            MarketKind::Usdm => self.market.symbols.iter().map(AsRef::as_ref).collect(),
            _ => self.symbols()?,
        };
        let instruments: Vec<Instrument> = symbols
            .into_iter()
            .map(|listed| listed.lock().symbol.instrument.clone())
            .collect();
        let kind = self.market.kind;
        let most = weight_max(kind);
        Ok(rules::exchange_info(kind, self.now, most, &instruments))
    }

    fn depth(&self) -> Result<String> {
        let listed = self.symbol()?;
        let usdm = self.market.kind == MarketKind::Usdm;
        let limit = if usdm {
            let limit = self.limit(500, usize::MAX)?;
            if ![5, 10, 20, 50, 100, 500, 1_000].contains(&limit) {
                return Err(refused(-4021, format!("{limit} is not valid depth limit.")));
            }
            limit
        } else {
            self.limit(100, 5_000)?
        };
        let symbol = &listed.lock().symbol;
        let times = usdm.then_some((self.now, symbol.book_time));
        Ok(text::depth_snapshot(symbol, limit, times))
    }

    fn trades(&self) -> Result<String> {
        let listed = self.symbol()?;
        let limit = self.limit(500, 1_000)?;
        let usdm = self.market.kind == MarketKind::Usdm;
        let symbol = &listed.lock().symbol;
        let scales = symbol.scales();
        // A trade may stand for several executions: the newest of them, oldest first.
        let newest = symbol.trades.iter().rev().take(limit);
        let mut shown: Vec<_> = newest
            .flat_map(|t| executions(t).collect::<Vec<_>>())
            .collect();
        shown.sort_by_key(|trade| trade.id);
        let skip = shown.len().saturating_sub(limit);
        Ok(array(shown.iter().skip(skip), |body, trade| {
            put!(
                body,
                "{{\"id\":{},\"price\":\"{}\",\"qty\":\"{}\",\"quoteQty\":\"{}\",\"time\":{},\"isBuyerMaker\":{},\"{}}}",
                trade.id,
                scales.price(trade.price),
                scales.qty(trade.qty),
                scales.value(trade),
                trade.time.millis(),
                buyer_is_maker(trade),
                if usdm {
                    "isRPITrade\":false"
                } else {
                    "isBestMatch\":true"
                },
            );
        }))
    }

    fn agg_trades(&self) -> Result<String> {
        let listed = self.symbol()?;
        let limit = self.limit(500, 1_000)?;
        let from_id = self.number("fromId")?;
        let (start, end) = self.window()?;
        let symbol = &listed.lock().symbol;
        let wanted: Vec<_> = symbol
            .trades
            .iter()
            .filter(|trade| from_id.is_none_or(|id| trade.id >= id))
            .filter(|trade| start.is_none_or(|start| trade.time >= start))
            .filter(|trade| end.is_none_or(|end| trade.time <= end))
            .collect();
        // From an id or a start time on, else the newest.
        let skip = if from_id.is_some() || start.is_some() {
            0
        } else {
            wanted.len().saturating_sub(limit)
        };
        Ok(array(
            wanted.into_iter().skip(skip).take(limit),
            |body, trade| put!(body, "{{{}}}", text::agg_trade_fields(symbol, trade)),
        ))
    }

    fn klines(&self) -> Result<String> {
        let listed = self.symbol()?;
        let interval = self.query.get("interval");
        let interval = interval.ok_or_else(|| missing("interval"))?;
        let usdm = self.market.kind == MarketKind::Usdm;
        let limit = self.limit(500, if usdm { 1_500 } else { 1_000 })?;
        let (start, end) = self.window()?;
        let symbol = &listed.lock().symbol;
        let bars = symbol
            .candles
            .bars(interval)
            .filter(|_| !usdm || interval != "1s")
            .ok_or_else(|| refused(-1120, "Invalid interval."))?;
        let scales = symbol.scales();
        let wanted: Vec<&Bar> = bars
            .iter()
            .filter(|bar| start.is_none_or(|start| bar.open_time >= start))
            .filter(|bar| end.is_none_or(|end| bar.open_time <= end))
            .collect();
        let skip = if start.is_some() {
            0
        } else {
            wanted.len().saturating_sub(limit)
        };
        Ok(array(
            wanted.into_iter().skip(skip).take(limit),
            |body, bar| text::kline_row(body, scales, bar),
        ))
    }

    fn open_interest(&self) -> Result<String> {
        let listed = self.symbol()?;
        let symbol = &listed.lock().symbol;
        Ok(format!(
            "{{\"openInterest\":\"{}\",\"symbol\":\"{}\",\"time\":{}}}",
            symbol
                .scales()
                .volume(symbol.derivative.open_interest.unwrap_or(0)),
            symbol.instrument.name.symbol,
            self.now.millis(),
        ))
    }

    fn price(&self, symbol: &Symbol) -> Option<String> {
        let name = &symbol.instrument.name.symbol;
        let price = symbol.scales().price(symbol.last_price()?);
        let time = match self.market.kind {
            MarketKind::Usdm => format!(",\"time\":{}", self.now.millis()),
            _ => String::new(),
        };
        Some(format!(
            "{{\"symbol\":\"{name}\",\"price\":\"{price}\"{time}}}"
        ))
    }

    fn book_ticker(&self, symbol: &Symbol) -> Option<String> {
        let scales = symbol.scales();
        let quote = symbol.quote?;
        let more = match self.market.kind {
            MarketKind::Usdm => format!(
                ",\"time\":{},\"lastUpdateId\":{}",
                symbol.book_time.millis(),
                quote.update_id
            ),
            _ => String::new(),
        };
        Some(format!(
            "{{\"symbol\":\"{}\",\"bidPrice\":\"{}\",\"bidQty\":\"{}\",\"askPrice\":\"{}\",\"askQty\":\"{}\"{more}}}",
            symbol.instrument.name.symbol,
            scales.price(quote.bid.price),
            scales.qty(quote.bid.qty),
            scales.price(quote.ask.price),
            scales.qty(quote.ask.qty),
        ))
    }

    /// One object with `symbol`, an array with `symbols` or without either.
    fn per_symbol(&self, show: impl Fn(&Symbol) -> Option<String>) -> Result<String> {
        let shown: Vec<String> = self
            .symbols()?
            .into_iter()
            .filter_map(|listed| show(&listed.lock().symbol))
            .collect();
        if self.query.get("symbol").is_none() {
            return Ok(array(shown, |body, one| body.push_str(&one)));
        }
        // A symbol that has not traded yet has no prices to show.
        shown
            .into_iter()
            .next()
            .ok_or_else(|| refused(-1000, "The symbol has not traded yet."))
    }

    fn number(&self, name: &str) -> Result<Option<u64>> {
        self.query.number(name).map_err(|NotANumber| illegal(name))
    }

    fn limit(&self, default: usize, most: usize) -> Result<usize> {
        match self.number("limit")? {
            None => Ok(default),
            Some(0) => Err(refused(
                -1130,
                "Data sent for parameter 'limit' is not valid.",
            )),
            Some(limit) => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
        }
    }

    /// `startTime` and `endTime`, in milliseconds.
    fn window(&self) -> Result<(Option<Time>, Option<Time>)> {
        let time = |name: &str| self.query.time(name).map_err(|NotANumber| illegal(name));
        Ok((time("startTime")?, time("endTime")?))
    }

    fn symbol(&self) -> Result<&Mutex<Listed>> {
        let name = self.query.get("symbol").ok_or_else(|| missing("symbol"))?;
        self.find(name)
    }

    /// `symbol`, `symbols` (spot), or all.
    fn symbols(&self) -> Result<Vec<&Mutex<Listed>>> {
        if self.query.get("symbol").is_some() {
            return Ok(vec![self.symbol()?]);
        }
        let Some(names) = self.query.get("symbols") else {
            return Ok(self.market.symbols.iter().map(AsRef::as_ref).collect());
        };
        let names: Vec<String> = serde_json::from_str(names).map_err(|_| {
            refused(
                -1100,
                "Illegal characters found in parameter 'symbols'; write [\"BTCUSDT\",\"ETHUSDT\"].",
            )
        })?;
        names.iter().map(|name| self.find(name)).collect()
    }

    fn find(&self, name: &str) -> Result<&Mutex<Listed>> {
        let found = self.market.find(name);
        found.ok_or_else(|| refused(-1121, "Invalid symbol."))
    }
}

fn illegal(name: &str) -> Refused {
    refused(
        -1100,
        format!(
            "Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        ),
    )
}
