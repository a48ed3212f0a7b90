//! The table of keys: parser, printer, completeness test and suggestions all read it.
//!
//! To add a setting: a field with its default in `settings.rs`, a row here, a line in
//! `config/hean.toml`. Rows about trading are in `trading_keys.rs`, about traces in `trace_keys.rs`.

use std::path::PathBuf;
use std::time::Duration;

use super::raw::{
    Raw, Wrong, boolean, count, integer, list_of, millis, one_of, parse_duration, text, word,
};
use super::settings::{DataDir, LogFormat, Settings, SyncPolicy, VenueSettings};
use super::url::{StoreUrl, base_url, check_host};
use super::{trace_keys::TRACE_KEYS, trading_keys::TRADING_KEYS};
use crate::http::tokens::Secret;
use crate::kernel::types::{InstrumentName, Interval, VenueId};
use crate::status::Mode;

/// A setting outside of `[venues.*]` and `[strategies.*]`.
pub(super) struct Key {
    /// `section.key`.
    pub(super) path: &'static str,
    /// Whether the value may hold a secret, which no error repeats.
    pub(super) secret: bool,
    /// Reads a value into the settings.
    pub(super) set: fn(&mut Settings, &Raw) -> Result<(), Wrong>,
    /// The value in force.
    pub(super) get: fn(&Settings) -> Raw,
}

/// A setting of `[venues.<name>]`.
pub(super) struct VenueKey {
    /// The key.
    pub(super) name: &'static str,
    /// Reads a value into the settings.
    pub(super) set: fn(&mut VenueSettings, &Raw) -> Result<(), Wrong>,
    /// The value in force.
    pub(super) get: fn(&VenueSettings) -> Raw,
}

const MODES: [(&str, Mode); 2] = [("observe", Mode::Observe), ("paper", Mode::Paper)];
const SYNCS: [(&str, SyncPolicy); 3] = [
    ("always", SyncPolicy::Always),
    ("interval", SyncPolicy::Interval),
    ("os", SyncPolicy::Os),
];
const FORMATS: [(&str, LogFormat); 3] = [
    ("pretty", LogFormat::Pretty),
    ("json", LogFormat::Json),
    ("auto", LogFormat::Auto),
];
const SNAPSHOT_LIMITS: [u16; 8] = [5, 10, 20, 50, 100, 500, 1_000, 5_000];

/// Most instruments of one process.
const SYMBOLS_MAX: usize = 256;
/// Most candle intervals.
const INTERVALS_MAX: usize = 16;
/// Most strategies.
const STRATEGIES_MAX: usize = 64;
/// A day, in milliseconds: no timeout is longer.
pub(super) const DAY_MS: u64 = 86_400_000;

/// A row whose value is one field: path, field, reader, printer.
macro_rules! field {
    ($path:literal, $($field:ident).+, |$raw:ident| $read:expr, $get:expr) => {
        Key {
            path: $path,
            secret: false,
            set: |s, $raw| {
                s.$($field).+ = $read;
                Ok(())
            },
            get: $get,
        }
    };
}
pub(super) use field;

/// Every setting but those of venues and strategies.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(TRADING_KEYS).chain(TRACE_KEYS)
}

/// What is not about trading; that is in `trading_keys.rs`.
const KEYS: &[Key] = &[
    key(
        "run.mode",
        |s, raw| {
            if text(raw)?.eq_ignore_ascii_case("live") {
                return Err("live trading is not part of this version; use \"paper\"".into());
            }
            s.run.mode = one_of(raw, &MODES)?;
            Ok(())
        },
        |s| Raw::Text(s.run.mode.name().to_owned()),
    ),
    // Before symbols, which read it.
    key(
        "run.exchange",
        |s, raw| {
            let venues = list_of(raw, VenueId::ALL.len(), str::parse::<VenueId>)?;
            if venues.is_empty() {
                return Err("name at least one exchange".into());
            }
            s.run.exchanges = venues;
            Ok(())
        },
        |s| Raw::texts(&s.run.exchanges),
    ),
    key(
        "run.symbols",
        |s, raw| {
            let default = s.run.exchanges.first().copied().unwrap_or(VenueId::Binance);
            let symbols = list_of(raw, SYMBOLS_MAX, |t| InstrumentName::parse(t, default))?;
            if symbols.is_empty() {
                return Err("name at least one symbol".into());
            }
            s.run.symbols = symbols;
            Ok(())
        },
        |s| {
            let default = s.run.exchanges.first().copied();
            Raw::texts(s.run.symbols.iter().map(|name| {
                if Some(name.venue) == default {
                    name.symbol.clone()
                } else {
                    name.to_string()
                }
            }))
        },
    ),
    key(
        "run.intervals",
        |s, raw| {
            let intervals = list_of(raw, INTERVALS_MAX, str::parse::<Interval>)?;
            if intervals.is_empty() {
                return Err("name at least one interval, such as \"1m\"".into());
            }
            s.run.intervals = intervals;
            Ok(())
        },
        |s| Raw::texts(&s.run.intervals),
    ),
    field!(
        "run.strategies",
        run.strategies,
        |raw| list_of(raw, STRATEGIES_MAX, strategy_name)?,
        |s| Raw::texts(&s.run.strategies)
    ),
    field!("run.demo", run.demo, |raw| boolean(raw)?, |s| Raw::Bool(
        s.run.demo
    )),
    key(
        "run.seed",
        |s, raw| {
            // TOML integers end there; a seed must be writable in every layer.
            s.run.seed = integer(raw, 0, i64::MAX.unsigned_abs())?;
            Ok(())
        },
        |s| Raw::Integer(i128::from(s.run.seed)),
    ),
    field!(
        "http.listen",
        http.listen,
        |raw| {
            text(raw)?.parse().map_err(|_| {
                Wrong::from("expected an address and a port, such as \"127.0.0.1:8080\"; port 0 takes a free one")
            })?
        },
        |s| Raw::Text(s.http.listen.to_string())
    ),
    field!(
        "http.allowed_hosts",
        http.allowed_hosts,
        |raw| list_of(raw, 64, host_name)?,
        |s| Raw::texts(&s.http.allowed_hosts)
    ),
    field!(
        "http.connections_max",
        http.connections_max,
        |raw| number(raw, 1, 65_536)?,
        |s| Raw::Integer(i128::from(s.http.connections_max))
    ),
    field!(
        "http.peer_connections_max",
        http.peer_connections_max,
        |raw| number(raw, 1, 65_536)?,
        |s| Raw::Integer(i128::from(s.http.peer_connections_max))
    ),
    field!(
        "http.rate_per_s",
        http.rate_per_s,
        |raw| number(raw, 0, 1_000_000)?,
        |s| Raw::Integer(i128::from(s.http.rate_per_s))
    ),
    field!(
        "http.rate_burst",
        http.rate_burst,
        |raw| number(raw, 1, 1_000_000)?,
        |s| Raw::Integer(i128::from(s.http.rate_burst))
    ),
    field!(
        "http.tls_cert",
        http.tls_cert,
        |raw| optional_path(raw)?,
        |s| path_of(s.http.tls_cert.as_ref())
    ),
    field!(
        "http.tls_key",
        http.tls_key,
        |raw| optional_path(raw)?,
        |s| path_of(s.http.tls_key.as_ref())
    ),
    field!(
        "http.plaintext_behind_proxy",
        http.plaintext_behind_proxy,
        |raw| boolean(raw)?,
        |s| Raw::Bool(s.http.plaintext_behind_proxy)
    ),
    Key {
        path: "http.token",
        secret: true,
        set: |s, raw| {
            s.http.token = match text(raw)? {
                "" => None,
                token => Some(Secret::parse(token)?),
            };
            Ok(())
        },
        // What is set is shown to nobody.
        get: |s| Raw::Text(s.http.token.as_ref().map_or("", |_| "(hidden)").to_owned()),
    },
    field!(
        "http.head_bytes_max",
        http.head_bytes_max,
        |raw| count(raw, 8_192, 1 << 20)?,
        |s| size(s.http.head_bytes_max)
    ),
    field!(
        "http.body_bytes_max",
        http.body_bytes_max,
        |raw| count(raw, 1_024, 16 << 20)?,
        |s| size(s.http.body_bytes_max)
    ),
    field!(
        "http.header_timeout_ms",
        http.header_timeout,
        |raw| millis(raw, 1, DAY_MS)?,
        |s| Raw::millis(s.http.header_timeout)
    ),
    field!(
        "http.body_timeout_ms",
        http.body_timeout,
        |raw| millis(raw, 1, DAY_MS)?,
        |s| Raw::millis(s.http.body_timeout)
    ),
    field!(
        "http.idle_timeout_ms",
        http.idle_timeout,
        |raw| millis(raw, 1, DAY_MS)?,
        |s| Raw::millis(s.http.idle_timeout)
    ),
    field!(
        "http.write_timeout_ms",
        http.write_timeout,
        |raw| millis(raw, 1, DAY_MS)?,
        |s| Raw::millis(s.http.write_timeout)
    ),
    field!(
        "http.answer_timeout_ms",
        http.answer_timeout,
        |raw| millis(raw, 1, DAY_MS)?,
        |s| Raw::millis(s.http.answer_timeout)
    ),
    field!(
        "http.drain_timeout_ms",
        http.drain_timeout,
        |raw| millis(raw, 1, DAY_MS)?,
        |s| Raw::millis(s.http.drain_timeout)
    ),
    key(
        "http.stream_clients_max",
        |s, raw| {
            let value = integer(raw, 1, 65_536)?;
            s.http.stream_clients_max = u32::try_from(value).unwrap_or(u32::MAX);
            Ok(())
        },
        |s| Raw::Integer(i128::from(s.http.stream_clients_max)),
    ),
    field!(
        "http.stream_topics_max",
        http.stream_topics_max,
        |raw| count(raw, 1, 4_096)?,
        |s| size(s.http.stream_topics_max)
    ),
    field!(
        "http.stream_queue",
        http.stream_queue,
        |raw| count(raw, 16, 1 << 16)?,
        |s| size(s.http.stream_queue)
    ),
    field!(
        "http.stream_interval_ms",
        http.stream_interval,
        |raw| millis(raw, 10, 60_000)?,
        |s| Raw::millis(s.http.stream_interval)
    ),
    field!(
        "http.stream_ping_ms",
        http.stream_ping,
        |raw| millis(raw, 10, 3_600_000)?,
        |s| Raw::millis(s.http.stream_ping)
    ),
    field!(
        "journal.dir",
        journal.dir,
        |raw| match text(raw)? {
            "" => return Err("expected a directory, or \"auto\"".into()),
            "auto" => DataDir::Auto,
            dir => DataDir::Path(PathBuf::from(dir)),
        },
        |s| {
            Raw::Text(match &s.journal.dir {
                DataDir::Path(path) => path.display().to_string(),
                DataDir::Auto => "auto".to_owned(),
                DataDir::Temporary => "temporary".to_owned(),
            })
        }
    ),
    field!(
        "journal.sync",
        journal.sync,
        |raw| one_of(raw, &SYNCS)?,
        |s| name_of(&SYNCS, s.journal.sync)
    ),
    field!(
        "journal.interval_ms",
        journal.interval,
        |raw| millis(raw, 1, 60_000)?,
        |s| Raw::millis(s.journal.interval)
    ),
    field!(
        "journal.segment_mib",
        journal.segment_bytes,
        |raw| integer(raw, 1, 1_024)? << 20,
        |s| Raw::Integer(i128::from(s.journal.segment_bytes >> 20))
    ),
    field!(
        "journal.queue",
        journal.queue,
        |raw| count(raw, 1, 1 << 20)?,
        |s| size(s.journal.queue)
    ),
    field!(
        "journal.snapshot_every",
        journal.snapshot_every,
        |raw| integer(raw, 100, 100_000_000)?,
        |s| Raw::Integer(i128::from(s.journal.snapshot_every))
    ),
    field!(
        "journal.disk_quota",
        journal.disk_quota,
        |raw| integer(raw, 1 << 20, 1 << 50)?,
        |s| Raw::Integer(i128::from(s.journal.disk_quota))
    ),
    Key {
        path: "store.url",
        secret: true,
        set: |s, raw| {
            s.store.url = match text(raw)? {
                "" => None,
                url => Some(StoreUrl::parse(url)?),
            };
            Ok(())
        },
        get: |s| {
            Raw::Text(
                s.store
                    .url
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            )
        },
    },
    field!(
        "store.timeout_ms",
        store.timeout,
        |raw| millis(raw, 10, 600_000)?,
        |s| Raw::millis(s.store.timeout)
    ),
    field!(
        "store.batch_max",
        store.batch_max,
        |raw| count(raw, 1, 4_096)?,
        |s| size(s.store.batch_max)
    ),
    key(
        "store.prefix",
        |s, raw| {
            // Braces would break the hash tag that keeps an account in one slot.
            s.store.prefix = word(raw, 64, |c| {
                c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
            })?;
            Ok(())
        },
        |s| Raw::Text(s.store.prefix.clone()),
    ),
    field!("record.dir", record.dir, |raw| optional_path(raw)?, |s| {
        path_of(s.record.dir.as_ref())
    }),
    field!(
        "record.max_bytes",
        record.max_bytes,
        |raw| integer(raw, 64 << 20, 1 << 50)?,
        |s| Raw::Integer(i128::from(s.record.max_bytes))
    ),
    field!(
        "record.rotate_bytes",
        record.rotate_bytes,
        |raw| integer(raw, 1 << 20, 64 << 30)?,
        |s| Raw::Integer(i128::from(s.record.rotate_bytes))
    ),
    field!(
        "record.rotate_interval",
        record.rotate_interval,
        |raw| parse_duration(text(raw)?).map_err(Wrong)?,
        |s| Raw::Text(format!("{}s", s.record.rotate_interval.as_secs()))
    ),
    field!(
        "kernel.queue_market",
        kernel.capacities.market,
        |raw| count(raw, 64, 1 << 24)?,
        |s| size(s.kernel.capacities.market)
    ),
    field!(
        "kernel.queue_reports",
        kernel.capacities.reports,
        |raw| count(raw, 64, 1 << 24)?,
        |s| size(s.kernel.capacities.reports)
    ),
    field!(
        "kernel.queue_commands",
        kernel.capacities.commands,
        |raw| count(raw, 64, 1 << 24)?,
        |s| size(s.kernel.capacities.commands)
    ),
    field!(
        "kernel.spin_us",
        kernel.spin,
        |raw| Duration::from_micros(integer(raw, 0, 1_000_000)?),
        |s| Raw::Integer(i128::try_from(s.kernel.spin.as_micros()).unwrap_or(i128::MAX))
    ),
    field!(
        "kernel.candles_kept",
        kernel.candles_kept,
        |raw| count(raw, 100, 100_000)?,
        |s| size(s.kernel.candles_kept)
    ),
    field!(
        "kernel.orders_kept",
        kernel.orders_kept,
        |raw| count(raw, 100, 10_000_000)?,
        |s| size(s.kernel.orders_kept)
    ),
    field!(
        "kernel.book_levels_max",
        kernel.book_levels_max,
        |raw| count(raw, 100, 100_000)?,
        |s| size(s.kernel.book_levels_max)
    ),
    key(
        "log.level",
        |s, raw| {
            let level = text(raw)?;
            crate::logging::parse_level(level).map_err(|e| Wrong(e.to_string()))?;
            level.clone_into(&mut s.log.level);
            Ok(())
        },
        |s| Raw::Text(s.log.level.clone()),
    ),
    field!(
        "log.format",
        log.format,
        |raw| one_of(raw, &FORMATS)?,
        |s| name_of(&FORMATS, s.log.format)
    ),
];

/// The settings that every venue has.
pub(super) const VENUE_KEYS: &[VenueKey] = &[
    VenueKey {
        name: "rest",
        set: |v, raw| {
            v.rest = optional_url(raw, ["https", "http"])?;
            Ok(())
        },
        get: |v| Raw::Text(v.rest.clone().unwrap_or_default()),
    },
    VenueKey {
        name: "ws",
        set: |v, raw| {
            v.ws = optional_url(raw, ["wss", "ws"])?;
            Ok(())
        },
        get: |v| Raw::Text(v.ws.clone().unwrap_or_default()),
    },
    VenueKey {
        name: "snapshot_limit",
        set: |v, raw| {
            let wrong = || Wrong(format!("expected one of {SNAPSHOT_LIMITS:?}"));
            let value = integer(raw, 0, u64::from(u16::MAX)).map_err(|_| wrong())?;
            v.snapshot_limit = SNAPSHOT_LIMITS
                .into_iter()
                .find(|limit| u64::from(*limit) == value)
                .ok_or_else(wrong)?;
            Ok(())
        },
        get: |v| Raw::Integer(i128::from(v.snapshot_limit)),
    },
];

/// Names of all keys, those of every venue included, as `section.key`.
pub fn key_names() -> Vec<String> {
    let fixed = keys().map(|key| key.path.to_owned());
    let venues = VenueId::ALL.into_iter().flat_map(|venue| {
        VENUE_KEYS
            .iter()
            .map(move |key| format!("venues.{venue}.{}", key.name))
    });
    fixed.chain(venues).collect()
}

pub(super) const fn key(
    path: &'static str,
    set: fn(&mut Settings, &Raw) -> Result<(), Wrong>,
    get: fn(&Settings) -> Raw,
) -> Key {
    Key {
        path,
        secret: false,
        set,
        get,
    }
}

pub(super) fn size(value: usize) -> Raw {
    Raw::Integer(i128::try_from(value).unwrap_or(i128::MAX))
}

pub(super) fn name_of<T: Copy + PartialEq>(table: &[(&str, T)], value: T) -> Raw {
    let name = table
        .iter()
        .find(|(_, v)| *v == value)
        .map(|(name, _)| *name);
    Raw::Text(name.unwrap_or_default().to_owned())
}

fn strategy_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(legal) {
        return Err(format!(
            "{text:?} is no strategy: names are lower case, such as ema_cross"
        ));
    }
    Ok(text.to_owned())
}

fn number(raw: &Raw, min: u32, max: u32) -> Result<u32, Wrong> {
    let value = integer(raw, min.into(), max.into())?;
    Ok(u32::try_from(value).unwrap_or(max))
}

/// Empty is none.
fn optional_path(raw: &Raw) -> Result<Option<PathBuf>, Wrong> {
    let path = text(raw)?;
    Ok((!path.is_empty()).then(|| PathBuf::from(path)))
}

fn path_of(path: Option<&PathBuf>) -> Raw {
    Raw::Text(path.map(|p| p.display().to_string()).unwrap_or_default())
}

/// Empty is none: the default address, or nothing at all.
pub(super) fn optional_url(raw: &Raw, schemes: [&str; 2]) -> Result<Option<String>, Wrong> {
    match text(raw)? {
        "" => Ok(None),
        url => Ok(Some(base_url(url, schemes)?)),
    }
}

fn host_name(text: &str) -> Result<String, String> {
    match check_host(text) {
        Ok(()) if text.len() <= 253 => Ok(text.to_ascii_lowercase()),
        _ => Err(format!(
            "{text:?} is no host: write a name or an address, with or without a port, IPv6 in brackets"
        )),
    }
}
