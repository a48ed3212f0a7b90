//! The public REST endpoints, in Binance's paths, shapes and error codes.
//!
//! Pure reading of the shared state: a path and a query in, a status and a JSON body out.

use parking_lot::Mutex;

use super::candles::Bar;
use super::shared::{Shared, WEIGHT_MAX};
use super::symbol::{Symbol, buyer_is_maker};
use super::text::{self, Scales, put};
use crate::kernel::types::{Instrument, InstrumentStatus, Qty, Time};

/// An answer: HTTP status and JSON body.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// JSON.
    pub(super) body: String,
    /// Weight used in this minute.
    pub(super) weight: Option<u64>,
    /// Seconds to wait, of an answer that refuses for now.
    pub(super) retry_after: Option<i64>,
}

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

impl Answer {
    fn error(status: u16, refused: &Refused) -> Self {
        let words = serde_json::Value::from(refused.words.as_str());
        Self {
            status,
            body: format!("{{\"code\":{},\"msg\":{words}}}", refused.code),
            weight: None,
            retry_after: None,
        }
    }

    /// The answer to a method other than GET.
    pub(super) fn method(method: &str) -> Self {
        let words = format!("Request method '{method}' is not supported.");
        Self::error(405, &refused(-1000, words))
    }

    /// The answer to a broken WebSocket handshake.
    pub(super) fn handshake(words: &str) -> Self {
        Self::error(400, &refused(-1000, words))
    }
}

/// Answers `GET path?query`.
pub(super) fn answer(shared: &Shared, path: &str, query: &str) -> Answer {
    if path == "/sim/status" {
        return Answer {
            status: 200,
            body: status(shared),
            weight: None,
            retry_after: None,
        };
    }
    let Some(name) = path.strip_prefix("/api/v3/") else {
        return Answer::error(
            404,
            &refused(-1000, format!("no endpoint {path} in the simulated venue")),
        );
    };
    let query = match Query::parse(query) {
        Ok(query) => query,
        Err(error) => return Answer::error(400, &error),
    };
    let (weight, retry_after) = shared.use_weight(weight(name, &query));
    if weight > WEIGHT_MAX {
        let words = format!(
            "Too much request weight used; current limit is {WEIGHT_MAX} request weight per 1 \
             MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
        );
        return Answer {
            weight: Some(weight),
            retry_after: Some(retry_after),
            ..Answer::error(429, &refused(-1003, words))
        };
    }
    let result = match name {
        "ping" => Ok("{}".to_owned()),
        "time" => Ok(format!(
            "{{\"serverTime\":{}}}",
            shared.venue_time().millis()
        )),
        "exchangeInfo" => exchange_info(shared, &query),
        "depth" => depth(shared, &query),
        "trades" => trades(shared, &query),
        "aggTrades" => agg_trades(shared, &query),
        "klines" => klines(shared, &query),
        "ticker/24hr" => per_symbol(shared, &query, |symbol| {
            let now = shared.venue_time();
            let day = symbol.candles.day(now)?;
            Some(text::ticker_rest(symbol, now, &day))
        }),
        "ticker/price" => per_symbol(shared, &query, |symbol| {
            let scales = Scales::of(&symbol.instrument);
            let last = symbol.trades.back().map(|trade| trade.price);
            let price = last.or_else(|| symbol.candles.open(0).map(|bar| bar.close))?;
            let name = &symbol.instrument.name.symbol;
            Some(format!(
                "{{\"symbol\":\"{name}\",\"price\":\"{}\"}}",
                scales.price(price)
            ))
        }),
        "ticker/bookTicker" => per_symbol(shared, &query, |symbol| {
            let scales = Scales::of(&symbol.instrument);
            let quote = symbol.quote?;
            Some(format!(
                "{{\"symbol\":\"{}\",\"bidPrice\":\"{}\",\"bidQty\":\"{}\",\"askPrice\":\"{}\",\"askQty\":\"{}\"}}",
                symbol.instrument.name.symbol,
                scales.price(quote.bid.price),
                scales.qty(quote.bid.qty),
                scales.price(quote.ask.price),
                scales.qty(quote.ask.qty),
            ))
        }),
        _ => {
            let words = format!("no endpoint {path} in the simulated venue");
            return Answer {
                weight: Some(weight),
                ..Answer::error(404, &refused(-1000, words))
            };
        }
    };
    Answer {
        weight: Some(weight),
        ..match result {
            Ok(body) => Answer {
                status: 200,
                body,
                weight: None,
                retry_after: None,
            },
            Err(error) => Answer::error(400, &error),
        }
    }
}

fn weight(name: &str, query: &Query) -> u64 {
    let one = query.get("symbol").is_some();
    match name {
        "exchangeInfo" => 20,
        "depth" => match query.number("limit").ok().flatten().unwrap_or(100) {
            0..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        "trades" => 25,
        "aggTrades" => 4,
        "klines" => 2,
        "ticker/24hr" => {
            if one {
                2
            } else {
                80
            }
        }
        "ticker/price" | "ticker/bookTicker" => {
            if one {
                2
            } else {
                4
            }
        }
        _ => 1,
    }
}

fn status(shared: &Shared) -> String {
    let status = &shared.status;
    let state = match (status.finished(), status.started()) {
        (true, _) => "finished",
        (false, true) => "playing",
        (false, false) => "waiting",
    };
    let total = status
        .frames_total
        .map_or("null".to_owned(), |n| n.to_string());
    let time = status
        .venue_time()
        .map_or("null".to_owned(), |time| time.millis().to_string());
    let finished = status.finished();
    let end = if finished {
        time.clone()
    } else {
        "null".to_owned()
    };
    format!(
        "{{\"source\":\"{}\",\"state\":\"{state}\",\"position\":{},\"frames_total\":{total},\"frames_sent\":{},\"malformed\":{},\"clients\":{},\"venue_time\":{time},\"finished\":{finished},\"end\":{end}}}",
        status.source,
        status.position(),
        shared.hub.delivered(),
        status.malformed,
        shared.hub.clients(),
    )
}

fn exchange_info(shared: &Shared, query: &Query) -> Result<String, Refused> {
    let mut body = format!(
        concat!(
            "{{\"timezone\":\"UTC\",\"serverTime\":{},\"rateLimits\":[",
            "{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{}}},",
            "{{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,\"limit\":100}},",
            "{{\"rateLimitType\":\"ORDERS\",\"interval\":\"DAY\",\"intervalNum\":1,\"limit\":200000}},",
            "{{\"rateLimitType\":\"RAW_REQUESTS\",\"interval\":\"MINUTE\",\"intervalNum\":5,\"limit\":300000}}",
            "],\"exchangeFilters\":[],\"symbols\":["
        ),
        shared.venue_time().millis(),
        WEIGHT_MAX,
    );
    for (n, symbol) in query.symbols(shared)?.into_iter().enumerate() {
        if n > 0 {
            body.push(',');
        }
        symbol_info(&mut body, &symbol.lock().instrument);
    }
    body.push_str("]}");
    Ok(body)
}

fn symbol_info(body: &mut String, instrument: &Instrument) {
    let scales = Scales::of(instrument);
    let status = match instrument.status {
        InstrumentStatus::Trading => "TRADING",
        InstrumentStatus::Halted | InstrumentStatus::Delisted => "HALT",
        InstrumentStatus::CancelOnly => "CANCEL_ONLY",
    };
    let (qty_min, qty_max) = (
        instrument.qty_min.max(instrument.lot),
        if instrument.qty_max == Qty::ZERO {
            Qty(instrument.lot.0.saturating_mul(1_000_000_000))
        } else {
            instrument.qty_max
        },
    );
    put!(
        body,
        concat!(
            "{{\"symbol\":\"{symbol}\",\"status\":\"{status}\",\"baseAsset\":\"{base}\",",
            "\"baseAssetPrecision\":8,\"quoteAsset\":\"{quote}\",\"quotePrecision\":8,",
            "\"quoteAssetPrecision\":8,\"baseCommissionPrecision\":8,\"quoteCommissionPrecision\":8,",
            "\"orderTypes\":[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\",\"STOP_LOSS\",\"STOP_LOSS_LIMIT\",",
            "\"TAKE_PROFIT\",\"TAKE_PROFIT_LIMIT\"],\"icebergAllowed\":true,\"ocoAllowed\":true,",
            "\"otoAllowed\":true,\"opoAllowed\":true,\"quoteOrderQtyMarketAllowed\":true,",
            "\"allowTrailingStop\":true,\"cancelReplaceAllowed\":true,\"amendAllowed\":true,",
            "\"pegInstructionsAllowed\":true,\"isSpotTradingAllowed\":true,",
            "\"isMarginTradingAllowed\":false,\"filters\":[",
            "{{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"{tick}\",\"maxPrice\":\"{price_max}\",\"tickSize\":\"{tick}\"}},",
            "{{\"filterType\":\"LOT_SIZE\",\"minQty\":\"{qty_min}\",\"maxQty\":\"{qty_max}\",\"stepSize\":\"{lot}\"}},",
            "{{\"filterType\":\"MARKET_LOT_SIZE\",\"minQty\":\"0.00000000\",\"maxQty\":\"{qty_max}\",\"stepSize\":\"0.00000000\"}},",
            "{{\"filterType\":\"NOTIONAL\",\"minNotional\":\"{notional}\",\"applyMinToMarket\":true,",
            "\"maxNotional\":\"9000000.00000000\",\"applyMaxToMarket\":false,\"avgPriceMins\":5}},",
            "{{\"filterType\":\"MAX_NUM_ORDERS\",\"maxNumOrders\":200}}",
            "],\"permissions\":[],\"permissionSets\":[[\"SPOT\"]],",
            "\"defaultSelfTradePreventionMode\":\"EXPIRE_MAKER\",",
            "\"allowedSelfTradePreventionModes\":[\"EXPIRE_TAKER\",\"EXPIRE_MAKER\",\"EXPIRE_BOTH\",\"DECREMENT\"]}}"
        ),
        symbol = instrument.name.symbol,
        status = status,
        base = instrument.base,
        quote = instrument.quote,
        tick = scales.price(instrument.tick),
        price_max = scales.price_i128(i128::from(instrument.tick.0).saturating_mul(100_000_000)),
        qty_min = scales.qty(qty_min),
        qty_max = scales.qty(qty_max),
        lot = scales.qty(instrument.lot),
        notional = text::Eight::new(
            instrument.notional_min.0,
            crate::kernel::types::Money::SCALE
        ),
    );
}

fn depth(shared: &Shared, query: &Query) -> Result<String, Refused> {
    let symbol = query.symbol(shared)?;
    let limit = query.limit(100, 5_000)?;
    let symbol = symbol.lock();
    Ok(text::depth_snapshot(&symbol, limit))
}

fn trades(shared: &Shared, query: &Query) -> Result<String, Refused> {
    let symbol = query.symbol(shared)?;
    let limit = query.limit(500, 1_000)?;
    let symbol = symbol.lock();
    let scales = Scales::of(&symbol.instrument);
    let skip = symbol.trades.len().saturating_sub(limit);
    Ok(array(symbol.trades.iter().skip(skip), |body, trade| {
        put!(
            body,
            "{{\"id\":{},\"price\":\"{}\",\"qty\":\"{}\",\"quoteQty\":\"{}\",\"time\":{},\"isBuyerMaker\":{},\"isBestMatch\":true}}",
            trade.id,
            scales.price(trade.price),
            scales.qty(trade.qty),
            scales.value(trade),
            trade.time.millis(),
            buyer_is_maker(trade),
        );
    }))
}

fn agg_trades(shared: &Shared, query: &Query) -> Result<String, Refused> {
    let symbol = query.symbol(shared)?;
    let limit = query.limit(500, 1_000)?;
    let from_id = query.number("fromId")?;
    let (start, end) = query.window()?;
    let symbol = symbol.lock();
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
        |body, trade| {
            put!(
                body,
                "{{{}}}",
                text::agg_trade_fields(&symbol.instrument, trade)
            );
        },
    ))
}

fn klines(shared: &Shared, query: &Query) -> Result<String, Refused> {
    let symbol = query.symbol(shared)?;
    let interval = query.get("interval").ok_or_else(|| missing("interval"))?;
    let limit = query.limit(500, 1_000)?;
    let (start, end) = query.window()?;
    let symbol = symbol.lock();
    let bars = symbol
        .candles
        .bars(interval)
        .ok_or_else(|| refused(-1120, "Invalid interval."))?;
    let scales = Scales::of(&symbol.instrument);
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
        |body, bar| {
            text::kline_row(body, scales, bar);
        },
    ))
}

/// One object with `symbol`, an array with `symbols` or without either.
fn per_symbol(
    shared: &Shared,
    query: &Query,
    show: impl Fn(&Symbol) -> Option<String>,
) -> Result<String, Refused> {
    let symbols = query.symbols(shared)?;
    let shown: Vec<String> = symbols
        .into_iter()
        .filter_map(|symbol| show(&symbol.lock()))
        .collect();
    if query.get("symbol").is_none() {
        return Ok(array(shown, |body, one| body.push_str(&one)));
    }
    // A symbol that has not traded yet has no prices to show.
    shown
        .into_iter()
        .next()
        .ok_or_else(|| refused(-1000, "The symbol has not traded yet."))
}

fn array<T>(items: impl IntoIterator<Item = T>, mut show: impl FnMut(&mut String, T)) -> String {
    let mut body = String::from("[");
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            body.push(',');
        }
        show(&mut body, item);
    }
    body.push(']');
    body
}

/// The parameters of a request, decoded.
#[derive(Debug)]
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Result<Self, Refused> {
        let decoded = |text: &str| {
            percent_decode(text)
                .ok_or_else(|| refused(-1101, "A parameter is not percent-encoded UTF-8."))
        };
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decoded(name)?, decoded(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// A parameter that is there and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(known, _)| known == name)?;
        Some(pair.1.as_str()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let legal = (1..=20).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        match text.parse() {
            Ok(number) if legal => Ok(Some(number)),
            _ => Err(refused(
                -1100,
                format!(
                    "Illegal characters found in parameter '{name}'; legal range is \
                     '^[0-9]{{1,20}}$'."
                ),
            )),
        }
    }

    fn limit(&self, default: usize, max: usize) -> Result<usize, Refused> {
        match self.number("limit")? {
            None => Ok(default),
            Some(0) => Err(refused(
                -1130,
                "Data sent for parameter 'limit' is not valid.",
            )),
            Some(limit) => Ok(usize::try_from(limit).unwrap_or(max).min(max)),
        }
    }

    /// `startTime` and `endTime`, in milliseconds.
    fn window(&self) -> Result<(Option<Time>, Option<Time>), Refused> {
        let time = |name: &str| {
            Ok(self.number(name)?.map(|ms| {
                let ms = i64::try_from(ms).unwrap_or(i64::MAX);
                Time::from_millis(ms).unwrap_or(Time(i64::MAX))
            }))
        };
        Ok((time("startTime")?, time("endTime")?))
    }

    fn symbol<'a>(&self, shared: &'a Shared) -> Result<&'a Mutex<Symbol>, Refused> {
        let name = self.get("symbol").ok_or_else(|| missing("symbol"))?;
        find(shared, name)
    }

    /// `symbol`, `symbols`, or all.
    fn symbols<'a>(&self, shared: &'a Shared) -> Result<Vec<&'a Mutex<Symbol>>, Refused> {
        if self.get("symbol").is_some() {
            return Ok(vec![self.symbol(shared)?]);
        }
        let Some(names) = self.get("symbols") else {
            return Ok(shared.symbols.iter().map(AsRef::as_ref).collect());
        };
        let names: Vec<String> = serde_json::from_str(names).map_err(|_| {
            refused(
                -1100,
                "Illegal characters found in parameter 'symbols'; write [\"BTCUSDT\",\"ETHUSDT\"].",
            )
        })?;
        names.iter().map(|name| find(shared, name)).collect()
    }
}

fn find<'a>(shared: &'a Shared, name: &str) -> Result<&'a Mutex<Symbol>, Refused> {
    shared
        .by_name
        .get(name)
        .and_then(|at| shared.symbols.get(*at))
        .map(AsRef::as_ref)
        .ok_or_else(|| refused(-1121, "Invalid symbol."))
}

/// Decodes `%41` and `+`; `None` when the result is not UTF-8 or an escape is broken.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding() {
        for (text, want) in [
            ("BTCUSDT", Some("BTCUSDT")),
            ("%5B%22A%22%5d", Some("[\"A\"]")),
            ("a+b", Some("a b")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(percent_decode(text).as_deref(), want, "{text}");
        }
    }
}
