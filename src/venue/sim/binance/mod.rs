//! The streams of Binance spot and USDⓈ-M: which there are of a symbol, and what goes out on which.

pub(super) mod commands;
pub(super) mod rest;
mod rules;
mod text;

use std::collections::BTreeSet;

use super::candles::{Bar, INTERVALS};
use super::hub::{Payload, Route};
use super::market::MarketKind;
use super::outlet::{Out, Outlet, Part, Recorded};
use super::symbol::{Change, Symbol};
use crate::kernel::types::{Instrument, MILLISECOND, SECOND, Time};

/// Names of the difference stream. All of them carry what there is: the recorded or 100 ms pace.
const DEPTH_NAMES: [&str; 4] = ["depth@100ms", "depth", "depth@1000ms", "depth@500ms"];
/// Sizes of the partial-depth streams, and the paces in their names.
const PARTIAL_DEPTHS: [usize; 3] = [5, 10, 20];
const PARTIAL_PACES: [&str; 3] = ["", "@100ms", "@500ms"];

/// Symbol and meaning of a stream that clients need.
pub(super) fn part(stream: &str) -> Option<(String, Part)> {
    let (symbol, rest) = stream.split_once('@')?;
    let part = match rest.split('@').next()? {
        "depth" => Part::Depth,
        "trade" | "aggTrade" => Part::Trades,
        _ => return None,
    };
    Some((symbol.to_uppercase(), part))
}

/// Whether a connection of this route carries a stream; where it does not, the stream is silent.
pub(super) fn carried(route: Route, stream: &str) -> bool {
    let kind = stream.split_once('@').map_or(stream, |(_, rest)| rest);
    let public = stream == "!bookTicker"
        || ["depth", "bookTicker", "rpiDepth"]
            .iter()
            .any(|known| kind.starts_with(known));
    match route {
        Route::All => true,
        Route::Public => public,
        Route::Market => !public,
    }
}

/// The notice of a server that is about to close its connections: documented for spot.
pub(super) fn shutdown(kind: MarketKind, now: Time) -> Option<Payload> {
    (kind == MarketKind::Spot).then(|| {
        let data = format!("{{\"e\":\"serverShutdown\",\"E\":{}}}", now.millis());
        Payload::wrap("!serverShutdown", &data)
    })
}

/// Streams of a symbol that are made here because the source has none of their own.
#[derive(Debug)]
pub(super) struct Streams {
    kind: MarketKind,
    depth: Vec<String>,
    partial: Vec<(usize, Vec<String>)>,
    trade: Option<String>,
    agg_trade: Option<String>,
    quotes: Vec<String>,
    klines: Vec<Option<String>>,
    mini_tickers: Vec<String>,
    tickers: Vec<String>,
    /// Name and pace of the mark price's streams, and when each was sent.
    marks: Vec<(String, i64, Time)>,
    liquidations: Vec<String>,
    /// Per interval: when a kline was sent, of which candle, and how many trades it had.
    klines_sent: Vec<(Time, Time, u64)>,
    ticker_sent: (Time, u64),
    quote_sent: u64,
}

impl Streams {
    /// The streams of `instrument` that are not `recorded`.
    pub(super) fn new(
        kind: MarketKind,
        instrument: &Instrument,
        recorded: &BTreeSet<String>,
    ) -> Self {
        let prefix = format!("{}@", instrument.name.symbol.to_lowercase());
        let own = |kind: &str| {
            let name = if kind.starts_with('!') {
                kind.to_owned()
            } else {
                format!("{prefix}{kind}")
            };
            (!recorded.contains(&name)).then_some(name)
        };
        let all = |kinds: &[&str]| kinds.iter().filter_map(|kind| own(kind)).collect();
        let usdm = kind == MarketKind::Usdm;
        let partial = PARTIAL_DEPTHS.iter().map(|levels| {
            let names = PARTIAL_PACES
                .iter()
                .filter_map(|pace| own(&format!("depth{levels}{pace}")));
            (*levels, names.collect())
        });
        let marks = [
            ("markPrice", 3),
            ("markPrice@1s", 1),
            ("!markPrice@arr", 3),
            ("!markPrice@arr@1s", 1),
        ];
        let marks = marks
            .iter()
            .filter(|_| usdm)
            .filter_map(|(kind, pace)| Some((own(kind)?, pace * SECOND, Time::ZERO)));
        Self {
            kind,
            depth: all(&DEPTH_NAMES),
            partial: partial.collect(),
            // Futures have it without a promise; here it is silent.
            trade: own("trade").filter(|_| !usdm),
            agg_trade: own("aggTrade"),
            quotes: all(if usdm {
                &["bookTicker", "!bookTicker"]
            } else {
                &["bookTicker"]
            }),
            klines: INTERVALS
                .iter()
                .map(|interval| {
                    own(&format!("kline_{interval}")).filter(|_| !usdm || *interval != "1s")
                })
                .collect(),
            mini_tickers: all(&["miniTicker", "!miniTicker@arr"]),
            // Spot has retired its array.
            tickers: all(if usdm {
                &["ticker", "!ticker@arr"]
            } else {
                &["ticker"]
            }),
            marks: marks.collect(),
            liquidations: if usdm {
                all(&["forceOrder", "!forceOrder@arr"])
            } else {
                Vec::new()
            },
            klines_sent: vec![(Time::ZERO, Time::ZERO, 0); INTERVALS.len()],
            ticker_sent: (Time::ZERO, 0),
            quote_sent: 0,
        }
    }

    fn klines(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        let streams = self.klines.iter().zip(&mut self.klines_sent);
        for (interval, (stream, sent)) in streams.enumerate() {
            let (Some(stream), Some(bar), Some(name)) = (
                stream,
                symbol.candles.open(interval),
                INTERVALS.get(interval),
            ) else {
                continue;
            };
            let pace = match (self.kind, interval) {
                (MarketKind::Usdm, _) => 250 * MILLISECOND,
                (_, 0) => SECOND,
                _ => 2 * SECOND,
            };
            let changed = (sent.1, sent.2) != (bar.open_time, bar.trades);
            let id = bar.ids.map_or(0, |ids| ids.1);
            if changed
                && now.since(sent.0) >= pace
                && out.add(stream, id, || text::kline(symbol, now, name, &bar, false))
            {
                *sent = (now, bar.open_time, bar.trades);
            }
        }
    }

    fn day(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        let last = symbol.trades.back().map_or(0, |trade| trade.id);
        let pace = match self.kind {
            MarketKind::Usdm => 2 * SECOND,
            _ => SECOND,
        };
        if last == self.ticker_sent.1 || now.since(self.ticker_sent.0) < pace {
            return;
        }
        self.ticker_sent = (now, last);
        let mut names = self.mini_tickers.iter().chain(&self.tickers);
        if !names.any(|name| out.wanted(name)) {
            return;
        }
        let Some(day) = symbol.candles.day(now) else {
            return;
        };
        for name in &self.mini_tickers {
            out.add(name, last, || {
                in_array(name, text::mini_ticker(symbol, now, &day))
            });
        }
        for name in &self.tickers {
            out.add(name, last, || {
                in_array(name, text::ticker(symbol, now, &day))
            });
        }
    }
}

/// Streams of all symbols bring arrays of those that changed; here each brings itself.
fn in_array(stream: &str, event: String) -> String {
    if stream.starts_with('!') && stream.contains("@arr") {
        format!("[{event}]")
    } else {
        event
    }
}

impl Outlet for Streams {
    fn follow(
        &mut self,
        symbol: &Symbol,
        now: Time,
        change: &Change,
        recorded: Option<&Recorded>,
        out: &mut Out<'_>,
    ) {
        match change {
            Change::Depth(delta) => {
                for stream in &self.depth {
                    out.add(stream, delta.last_id, || match recorded {
                        Some(recorded) => recorded.payload.data(),
                        None => text::depth_update(symbol, now, delta),
                    });
                }
                for (levels, streams) in &self.partial {
                    for stream in streams {
                        out.add(stream, delta.last_id, || match self.kind {
                            MarketKind::Usdm => text::depth_top(symbol, now, delta, *levels),
                            _ => text::depth_snapshot(symbol, *levels, None),
                        });
                    }
                }
            }
            Change::Trade(trade) => {
                if let Some(stream) = &self.trade {
                    out.add(stream, trade.id, || text::trade(symbol, now, trade));
                }
                if let Some(stream) = &self.agg_trade {
                    out.add(stream, trade.id, || text::agg_trade(symbol, now, trade));
                }
            }
            Change::Liquidation(liquidation) => {
                for stream in &self.liquidations {
                    out.add(stream, 0, || text::force_order(symbol, now, liquidation));
                }
            }
            Change::Quote(_) | Change::Snapshot(_) | Change::Derivative(_) | Change::Restart(_) => {
            }
        }
        if let Some(quote) = symbol.quote
            && quote.update_id > self.quote_sent
        {
            self.quote_sent = quote.update_id;
            for stream in &self.quotes {
                out.add(stream, quote.update_id, || {
                    text::book_ticker(symbol, now, &quote)
                });
            }
        }
    }

    fn settle(&mut self, _symbol: &Symbol, _now: Time, _out: &mut Out<'_>) {}

    fn closed(
        &mut self,
        symbol: &Symbol,
        now: Time,
        interval: usize,
        bar: &Bar,
        out: &mut Out<'_>,
    ) {
        if let (Some(Some(stream)), Some(name)) =
            (self.klines.get(interval), INTERVALS.get(interval))
        {
            let id = bar.ids.map_or(0, |ids| ids.1);
            out.add(stream, id, || text::kline(symbol, now, name, bar, true));
        }
    }

    fn due(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        self.klines(symbol, now, out);
        self.day(symbol, now, out);
        for (stream, pace, sent) in &mut self.marks {
            if now.since(*sent) < *pace {
                continue;
            }
            // On the full second, as the venue does.
            *sent = Time(now.0 - now.0.rem_euclid(SECOND));
            if let Some(event) = text::mark_price(symbol, now) {
                out.add(stream, 0, || in_array(stream, event));
            }
        }
    }

    fn greet(&mut self, _symbol: &Symbol, _now: Time, _stream: &str) -> Option<Payload> {
        None
    }

    fn counter(&self) -> u64 {
        0
    }

    fn restart(&mut self) {
        self.quote_sent = 0;
    }

    fn resend(&mut self, _symbol: &Symbol, _now: Time, _out: &mut Out<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_belong_to_routes() {
        for (stream, public) in [
            ("btcusdt@depth", true),
            ("btcusdt@depth@100ms", true),
            ("btcusdt@depth20@500ms", true),
            ("btcusdt@bookTicker", true),
            ("!bookTicker", true),
            ("btcusdt@rpiDepth@500ms", true),
            ("btcusdt@aggTrade", false),
            ("btcusdt@kline_1m", false),
            ("btcusdt@markPrice@1s", false),
            ("!markPrice@arr", false),
            ("btcusdt@forceOrder", false),
        ] {
            assert_eq!(carried(Route::Public, stream), public, "{stream}");
            assert_eq!(carried(Route::Market, stream), !public, "{stream}");
            assert!(carried(Route::All, stream));
        }
    }

    #[test]
    fn what_playback_needs() {
        let btc = |part| Some(("BTCUSDT".to_owned(), part));
        assert_eq!(part("btcusdt@depth"), btc(Part::Depth));
        assert_eq!(part("btcusdt@depth@100ms"), btc(Part::Depth));
        assert_eq!(part("btcusdt@trade"), btc(Part::Trades));
        assert_eq!(part("btcusdt@aggTrade"), btc(Part::Trades));
        assert_eq!(part("btcusdt@depth5"), None);
        assert_eq!(part("btcusdt@bookTicker"), None);
        assert_eq!(part("nonsense"), None);
    }
}
