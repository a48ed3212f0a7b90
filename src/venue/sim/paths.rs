//! Which market a path means: every protocol has its own, so one port serves them all.

use std::time::Duration;

use super::hub::Route;
use super::market::MarketKind;
use super::{binance, query};

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// What the venue says of itself.
    Status,
    /// An endpoint of Binance.
    Binance {
        kind: MarketKind,
        /// Behind the version.
        name: String,
    },
    /// An endpoint of Bybit; the market is in the query.
    Bybit {
        /// Behind `/v5/market/`.
        name: String,
    },
    /// A connection for streams.
    Streams {
        kind: MarketKind,
        route: Route,
        /// Whether messages come in an envelope.
        combined: bool,
        /// Streams to begin with.
        names: Vec<String>,
        /// Bybit's `max_active_time`.
        silence: Option<Duration>,
    },
    /// There is nothing.
    Nowhere,
}

/// Reads a path. `bare` is the market of `/ws` and `/stream`: USDⓈ-M takes them for its public route.
pub(super) fn way(path: &str, query: &str, bare: MarketKind) -> Way {
    if path == "/sim/status" {
        return Way::Status;
    }
    for (prefix, kind) in [
        ("/api/v3/", MarketKind::Spot),
        ("/fapi/v1/", MarketKind::Usdm),
        ("/fapi/v2/", MarketKind::Usdm),
    ] {
        if let Some(name) = path.strip_prefix(prefix) {
            let name = name.to_owned();
            return Way::Binance { kind, name };
        }
    }
    if let Some(name) = path.strip_prefix("/v5/market/") {
        let name = name.to_owned();
        return Way::Bybit { name };
    }
    for (known, kind) in [
        ("/v5/public/spot", MarketKind::BybitSpot),
        ("/v5/public/linear", MarketKind::BybitLinear),
    ] {
        if path == known {
            return Way::Streams {
                kind,
                route: Route::All,
                combined: false,
                names: Vec::new(),
                silence: max_active_time(query),
            };
        }
    }
    let (kind, route, rest) = if let Some(rest) = path.strip_prefix("/public/") {
        (MarketKind::Usdm, Route::Public, rest)
    } else if let Some(rest) = path.strip_prefix("/market/") {
        (MarketKind::Usdm, Route::Market, rest)
    } else if bare == MarketKind::Usdm {
        (bare, Route::Public, path.strip_prefix('/').unwrap_or(path))
    } else {
        (
            MarketKind::Spot,
            Route::All,
            path.strip_prefix('/').unwrap_or(path),
        )
    };
    match streams(rest, query) {
        Some((combined, names)) => Way::Streams {
            kind,
            route,
            combined,
            names,
            silence: None,
        },
        None => Way::Nowhere,
    }
}

/// Whether a path is one of Binance's streams: with envelope or without, and the names in it.
fn streams(path: &str, query: &str) -> Option<(bool, Vec<String>)> {
    let names = |text: &str| {
        text.split('/')
            .filter_map(query::percent_decode)
            .filter(|name| binance::commands::name_allowed(name))
            .collect()
    };
    if path == "stream" {
        let streams = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("streams="));
        // A separator may be encoded as well as the names.
        let streams = streams.map(|text| text.replace("%2F", "/").replace("%2f", "/"));
        return Some((true, names(streams.as_deref().unwrap_or_default())));
    }
    let rest = path.strip_prefix("ws")?;
    match rest.strip_prefix('/') {
        Some(rest) => Some((false, names(rest))),
        None if rest.is_empty() => Some((false, Vec::new())),
        None => None,
    }
}

/// `max_active_time=30s`, `=1m`: 30 to 600 seconds.
fn max_active_time(query: &str) -> Option<Duration> {
    let text = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("max_active_time="))?;
    let (number, seconds) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s')?, 1),
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    Some(Duration::from_secs(seconds.clamp(30, 600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_paths() {
        let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let (spot, usdm) = (MarketKind::Spot, MarketKind::Usdm);
        for (path, query, want) in [
            ("/ws", "", Some((spot, Route::All, false, names(&[])))),
            ("/ws/", "", Some((spot, Route::All, false, names(&[])))),
            (
                "/ws/a@trade/b@depth",
                "",
                Some((spot, Route::All, false, names(&["a@trade", "b@depth"]))),
            ),
            ("/stream", "", Some((spot, Route::All, true, names(&[])))),
            (
                "/stream",
                "x=1&streams=a@trade/b%40depth",
                Some((spot, Route::All, true, names(&["a@trade", "b@depth"]))),
            ),
            (
                "/stream",
                "streams=a%2Fb",
                Some((spot, Route::All, true, names(&["a", "b"]))),
            ),
            (
                "/public/ws/a@depth",
                "",
                Some((usdm, Route::Public, false, names(&["a@depth"]))),
            ),
            (
                "/market/stream",
                "streams=a@aggTrade",
                Some((usdm, Route::Market, true, names(&["a@aggTrade"]))),
            ),
            (
                "/v5/public/linear",
                "",
                Some((MarketKind::BybitLinear, Route::All, false, names(&[]))),
            ),
            ("/wsx", "", None),
            ("/private/ws", "", None),
            ("/v5/public/inverse", "", None),
        ] {
            let got = match way(path, query, spot) {
                Way::Streams {
                    kind,
                    route,
                    combined,
                    names,
                    ..
                } => Some((kind, route, combined, names)),
                _ => None,
            };
            assert_eq!(got, want, "{path}?{query}");
        }
        let bare = way("/ws", "", usdm);
        assert!(matches!(
            bare,
            Way::Streams {
                kind: MarketKind::Usdm,
                route: Route::Public,
                ..
            }
        ));
    }

    #[test]
    fn endpoints_and_times() {
        let binance = |kind, name: &str| Way::Binance {
            kind,
            name: name.to_owned(),
        };
        assert_eq!(
            way("/api/v3/ping", "", MarketKind::Spot),
            binance(MarketKind::Spot, "ping")
        );
        assert_eq!(
            way("/fapi/v1/ticker/24hr", "", MarketKind::Spot),
            binance(MarketKind::Usdm, "ticker/24hr")
        );
        assert_eq!(way("/nothing", "", MarketKind::Spot), Way::Nowhere);
        for (query, seconds) in [
            ("max_active_time=30s", Some(30)),
            ("a=1&max_active_time=5m", Some(300)),
            ("max_active_time=1s", Some(30)),
            ("max_active_time=1h", None),
            ("", None),
        ] {
            let want = seconds.map(Duration::from_secs);
            assert_eq!(max_active_time(query), want, "{query}");
        }
    }
}
