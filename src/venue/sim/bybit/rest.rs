//! The public REST endpoints of Bybit v5, in its envelope and with its codes.

use parking_lot::Mutex;

use super::window::Window;
use super::{interval, rules, text};
use crate::kernel::types::{Instrument, SECOND, Time};
use crate::venue::sim::answer::Answer;
use crate::venue::sim::candles::{Bar, INTERVALS};
use crate::venue::sim::market::{Listed, Market, MarketKind};
use crate::venue::sim::number::{array, levels};
use crate::venue::sim::query::Query;

/// Requests of an address in [`WINDOW`], all markets together.
pub(in crate::venue::sim) const REQUESTS_MAX: u64 = 600;
/// The window of [`REQUESTS_MAX`].
pub(in crate::venue::sim) const WINDOW: i64 = 5 * SECOND;

/// A parameter error.
const PARAMETER: i32 = 10001;

/// The answer to a request too many.
pub(in crate::venue::sim) fn throttled(now: Time) -> Answer {
    let body = envelope(10006, "access too frequent", "{}", now);
    Answer {
        status: 403,
        ..body
    }
}

fn envelope(code: i32, words: &str, result: &str, now: Time) -> Answer {
    let words = serde_json::Value::from(words);
    Answer::ok(format!(
        "{{\"retCode\":{code},\"retMsg\":{words},\"result\":{result},\"retExtInfo\":{{}},\"time\":{}}}",
        now.millis()
    ))
}

/// The market that a query's `category` names.
pub(in crate::venue::sim) fn market(query: &str) -> Option<MarketKind> {
    match Query::parse(query)?.get("category")? {
        "spot" => Some(MarketKind::BybitSpot),
        "linear" => Some(MarketKind::BybitLinear),
        _ => None,
    }
}

/// `GET time`, and the refusal of what names no market that is simulated here.
pub(in crate::venue::sim) fn without_market(name: &str, now: Time) -> Answer {
    if name == "time" {
        let result = format!(
            "{{\"timeSecond\":\"{}\",\"timeNano\":\"{}\"}}",
            now.0 / SECOND,
            now.0
        );
        return envelope(0, "OK", &result, now);
    }
    envelope(PARAMETER, "params error: Category is invalid", "{}", now)
}

/// Answers `GET name?query`.
pub(in crate::venue::sim) fn answer(market: &Market, now: Time, name: &str, query: &str) -> Answer {
    let Some(query) = Query::parse(query) else {
        return envelope(PARAMETER, "params error: not percent-encoded", "{}", now);
    };
    let request = Request {
        market,
        now,
        query: &query,
    };
    let result = match name {
        "time" => return without_market(name, now),
        "instruments-info" => request.instruments(),
        "kline" => request.klines(),
        "orderbook" => request.book(),
        "tickers" => request.tickers(),
        "recent-trade" => request.trades(),
        _ => return Answer::nowhere(name),
    };
    match result {
        Ok(result) => envelope(0, "OK", &result, now),
        Err(words) => envelope(PARAMETER, &format!("params error: {words}"), "{}", now),
    }
}

struct Request<'a> {
    market: &'a Market,
    now: Time,
    query: &'a Query,
}

type Result<T> = std::result::Result<T, String>;

impl Request<'_> {
    fn category(&self) -> &'static str {
        match self.market.kind {
            MarketKind::BybitSpot => "spot",
            _ => "linear",
        }
    }

    fn symbol(&self) -> Result<&Mutex<Listed>> {
        let name = self.query.get("symbol").unwrap_or_default();
        let found = self.market.find(name);
        found.ok_or_else(|| "Symbol Is Invalid".to_owned())
    }

    /// The symbol that is named, or all.
    fn symbols(&self) -> Result<Vec<&Mutex<Listed>>> {
        if self.query.get("symbol").is_some() {
            return Ok(vec![self.symbol()?]);
        }
        Ok(self.market.symbols.iter().map(AsRef::as_ref).collect())
    }

    fn limit(&self, default: usize, most: usize) -> Result<usize> {
        let wrong = || "limit is invalid".to_owned();
        match self.query.number("limit").map_err(|_| wrong())? {
            None => Ok(default),
            Some(0) => Err(wrong()),
            Some(limit) => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
        }
    }

    fn time(&self, name: &str) -> Result<Option<Time>> {
        let time = self.query.time(name);
        time.map_err(|_| format!("{name} is invalid"))
    }

    fn instruments(&self) -> Result<String> {
        let spot = self.market.kind == MarketKind::BybitSpot;
        let found = match self.symbols() {
            Ok(found) => found,
            Err(_) if spot => Vec::new(),
            Err(error) => return Err(error),
        };
        let base = self.query.get("baseCoin");
        let mut all: Vec<Instrument> = found
            .into_iter()
            .map(|listed| listed.lock().symbol.instrument.clone())
            .filter(|instrument| base.is_none_or(|base| instrument.base == base))
            .collect();
        all.sort_by(|a, b| a.name.symbol.cmp(&b.name.symbol));
        // Spot is not paged.
        let (from, limit) = if spot {
            (0_usize, usize::MAX)
        } else {
            let from = match self.query.get("cursor") {
                None => 0,
                Some(cursor) => cursor
                    .strip_prefix("from")
                    .and_then(|from| from.parse().ok())
                    .ok_or("cursor is invalid")?,
            };
            (from, self.limit(500, 1_000)?)
        };
        let next = from.saturating_add(limit);
        let cursor = if next < all.len() {
            format!("from{next}")
        } else {
            String::new()
        };
        let page = all.iter().skip(from).take(limit);
        let kind = self.market.kind;
        let list = array(page, |to, one| rules::instrument(to, kind, one));
        let cursor = if spot {
            String::new()
        } else {
            format!(",\"nextPageCursor\":\"{cursor}\"")
        };
        let category = self.category();
        Ok(format!(
            "{{\"category\":\"{category}\",\"list\":{list}{cursor}}}"
        ))
    }

    fn klines(&self) -> Result<String> {
        let listed = self.symbol()?;
        let wanted = self.query.get("interval").unwrap_or_default();
        let limit = self.limit(200, 1_000)?;
        let (start, end) = (self.time("start")?, self.time("end")?);
        let symbol = &listed.lock().symbol;
        let bars = INTERVALS
            .iter()
            .find(|name| interval(name) == Some(wanted))
            .and_then(|name| symbol.candles.bars(name))
            .ok_or("Invalid period!")?;
        let mut found: Vec<&Bar> = bars
            .iter()
            .filter(|bar| start.is_none_or(|start| bar.open_time >= start))
            .filter(|bar| end.is_none_or(|end| bar.open_time <= end))
            .collect();
        if start.is_some() && end.is_none() {
            found.truncate(limit);
        }
        let rows = found.into_iter().rev().take(limit);
        let list = array(rows, |to, bar| text::kline_row(to, symbol, bar));
        let (name, category) = (&symbol.instrument.name.symbol, self.category());
        Ok(format!(
            "{{\"category\":\"{category}\",\"symbol\":\"{name}\",\"list\":{list}}}"
        ))
    }

    fn book(&self) -> Result<String> {
        let listed = self.symbol()?.lock();
        let default = match self.market.kind {
            MarketKind::BybitSpot => 1,
            _ => 25,
        };
        let limit = self.limit(default, 1_000)?;
        let u = listed.outlet.counter();
        let symbol = &listed.symbol;
        let scales = symbol.scales();
        let window = Window::of(symbol, limit.max(2));
        let (mut bids, mut asks) = (String::new(), String::new());
        levels(&mut bids, scales, window.bids.into_iter().take(limit));
        levels(&mut asks, scales, window.asks.into_iter().take(limit));
        Ok(format!(
            "{{\"s\":\"{}\",\"b\":{bids},\"a\":{asks},\"ts\":{},\"u\":{u},\"seq\":{},\"cts\":{}}}",
            symbol.instrument.name.symbol,
            self.now.millis(),
            symbol.book.last_id(),
            window.changed.millis(),
        ))
    }

    fn tickers(&self) -> Result<String> {
        let list = array(self.symbols()?, |to, listed| {
            text::ticker_row(to, &listed.lock().symbol, self.now);
        });
        let category = self.category();
        Ok(format!("{{\"category\":\"{category}\",\"list\":{list}}}"))
    }

    fn trades(&self) -> Result<String> {
        let listed = self.symbol()?;
        let (default, most) = match self.market.kind {
            MarketKind::BybitSpot => (60, 60),
            _ => (500, 1_000),
        };
        let limit = self.limit(default, most)?;
        let symbol = &listed.lock().symbol;
        let newest = symbol.trades.iter().rev().take(limit);
        let list = array(newest, |to, trade| text::recent_trade(to, symbol, trade));
        let category = self.category();
        Ok(format!("{{\"category\":\"{category}\",\"list\":{list}}}"))
    }
}
