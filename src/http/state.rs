//! What the API reads and what it may be told to do.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderValue, RETRY_AFTER};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use super::access::{Access, Caller};
use super::guard::Guard;
use super::peers::{Peer, Rate};
use super::problem::{Code, Problem, either, nearest};
use super::rendered::Rendered;
use super::stream::Streams;
use super::tokens::Secret;
use crate::kernel::event::Seq;
use crate::kernel::market::CandleLog;
use crate::kernel::risk::RiskLimits;
use crate::kernel::snapshot::{Published, PublishedInstrument};
use crate::kernel::types::{Instrument, InstrumentId, Interval, Time, VenueId, normalise_symbol};
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::KernelHandle;
use crate::runtime::order_feed::OrderFeed;
use crate::status::{
    FeedStatus, JournalStatus, KernelStatus, Mode, RecorderStatus, ReloadStatus, StoreStatus,
};

/// How the server listens and what it puts up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Hosts to answer for beside localhost, 127.0.0.1 and \[::1\]: `name` or `name:port`.
    pub allowed_hosts: Vec<String>,
    /// Most connections at a time; more are told to come back.
    pub connections_max: u32,
    /// Most connections of one address that is not this machine's.
    pub peer_connections_max: u32,
    /// Requests a second for each token, or each address without one; 0 is any number. Callers on
    /// this machine are not limited.
    pub rate_per_s: u32,
    /// How many of them may come at once.
    pub rate_burst: u32,
    /// The certificate chain, PEM; with the key it makes the server speak TLS alone.
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether a proxy in front does the TLS: tokens and orders cross the way from there in clear.
    pub plaintext_behind_proxy: bool,
    /// A token of scope admin beside those of the data directory.
    pub token: Option<Secret>,
    /// Where tokens and the audit log are; without one there are none.
    pub data_dir: Option<PathBuf>,
    /// Largest request line with headers, in bytes; at least 8192.
    pub head_bytes_max: usize,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// From the first byte of a request to the last one of its headers.
    pub header_timeout: Duration,
    /// From the headers to the last byte of the body.
    pub body_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// How long a client may take to read any part of an answer.
    pub write_timeout: Duration,
    /// How long a command waits for the kernel and the venue.
    pub answer_timeout: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
    /// Most clients of streams at a time; more are refused.
    pub stream_clients_max: u32,
    /// Most topics on one stream.
    pub stream_topics_max: usize,
    /// Changes of orders that a client may be behind.
    pub stream_queue: usize,
    /// How often market data and state are sent, at most.
    pub stream_interval: Duration,
    /// How often a WebSocket is pinged; after three pings without a sign of life it is closed.
    pub stream_ping: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allowed_hosts: Vec::new(),
            connections_max: 512,
            peer_connections_max: 64,
            rate_per_s: 200,
            rate_burst: 400,
            tls_cert: None,
            tls_key: None,
            plaintext_behind_proxy: false,
            token: None,
            data_dir: None,
            head_bytes_max: 16 * 1024,
            body_bytes_max: 64 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
            stream_clients_max: 1_024,
            stream_topics_max: 256,
            stream_queue: 4_096,
            stream_interval: Duration::from_millis(100),
            stream_ping: Duration::from_secs(20),
        }
    }
}

/// Computes an indicator, spelt like `rsi:14` or `macd:12:26:9`, over closed candles, oldest first.
/// The error says what was wrong with the spelling and what would be right.
pub type IndicatorFn = fn(&str, &CandleLog, &Instrument) -> Result<IndicatorSeries, String>;

/// Values of an indicator over candles.
#[derive(Debug, Clone, PartialEq)]
pub struct IndicatorSeries {
    /// Its whole name, defaults filled in: `rsi:14`.
    pub name: String,
    /// Names of its outputs; `value` where there is one only.
    pub outputs: &'static [&'static str],
    /// A row per candle; `None` until warmed up.
    pub rows: Vec<Option<[f64; 3]>>,
}

/// What was built.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Program version.
    pub version: &'static str,
    /// Source commit.
    pub commit: &'static str,
    /// Platform.
    pub target: &'static str,
    /// `static` or `dynamic`.
    pub link: &'static str,
}

impl Build {
    /// Of this binary.
    pub const THIS: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("HEAN_COMMIT"),
        target: env!("HEAN_TARGET"),
        link: env!("HEAN_LINK"),
    };
}

/// The parts of the daemon that the API shows.
#[derive(Debug)]
pub struct AppState {
    /// The kernel's views.
    pub published: Arc<Published>,
    /// The way to the kernel.
    pub kernel: KernelHandle,
    /// Whether its loop beats.
    pub kernel_status: Arc<KernelStatus>,
    /// Sessions with venues.
    pub feeds: Vec<Arc<FeedStatus>>,
    /// The journal.
    pub journal: Arc<JournalStatus>,
    /// Its watermark, to wait for.
    pub durable: watch::Receiver<Seq>,
    /// The changes of orders, for streams.
    pub orders: Arc<OrderFeed>,
    /// The projection into KeyDB, if there is one.
    pub store: Option<Arc<StoreStatus>>,
    /// The recorder, if frames are kept.
    pub recorder: Option<Arc<RecorderStatus>>,
    /// How the daemon trades.
    pub mode: Mode,
    /// The order in which venues are searched for a bare symbol.
    pub venues: Vec<VenueId>,
    /// Intervals of the kept candles, in the order of `PublishedInstrument::series`.
    pub intervals: Vec<Interval>,
    /// Now.
    pub clock: Clock,
    /// When the process started.
    pub started: Time,
    /// What was built.
    pub build: Build,
    /// Renders the metrics.
    pub prometheus: PrometheusHandle,
    /// Computes indicators that are not kept.
    pub indicator: IndicatorFn,
    /// Risk limits in force.
    pub limits: RiskLimits,
    /// Whether the kill switch closes positions too, unless it is told otherwise.
    pub halt_flattens: bool,
    /// Why strategies could not be loaded anew.
    pub reload: Arc<ReloadStatus>,
}

/// What handlers see: the state and what the server made of it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) state: Arc<AppState>,
    pub(crate) config: HttpConfig,
    pub(crate) guard: Guard,
    pub(crate) streams: Streams,
    pub(crate) access: Arc<Access>,
    /// Tickers as they were last asked for.
    pub(crate) tickers: Rendered,
    /// How often each caller may ask.
    rate: Option<Rate>,
    /// Whether browsers are told to come by TLS alone.
    pub(crate) hsts: bool,
    /// Instruments by symbol, in the order of `AppState::venues`. Names are fixed for a run.
    symbols: BTreeMap<String, Vec<(VenueId, InstrumentId)>>,
}

impl App {
    pub(crate) fn new(
        state: Arc<AppState>,
        access: Arc<Access>,
        config: HttpConfig,
        listen: SocketAddr,
    ) -> Self {
        let mut symbols: BTreeMap<String, Vec<(VenueId, InstrumentId)>> = BTreeMap::new();
        for (id, published) in (0_u16..).zip(&state.published.instruments) {
            let name = published.instrument.load().name.clone();
            symbols
                .entry(name.symbol)
                .or_default()
                .push((name.venue, InstrumentId(id)));
        }
        let rank = |venue: VenueId| state.venues.iter().position(|v| *v == venue);
        for venues in symbols.values_mut() {
            venues.sort_by_key(|(venue, id)| (rank(*venue).unwrap_or(usize::MAX), *id));
        }
        Self {
            streams: Streams::new(&config),
            guard: Guard::new(
                listen,
                &config.allowed_hosts,
                config.tls_cert.is_some() || config.plaintext_behind_proxy,
            ),
            tickers: Rendered::new(state.published.instruments.len()),
            state,
            access,
            rate: (config.rate_per_s > 0)
                .then(|| Rate::per_second(config.rate_per_s, config.rate_burst)),
            hsts: config.tls_cert.is_some() || config.plaintext_behind_proxy,
            config,
            symbols,
        }
    }

    /// Counts a request against the rate of its token, or of its address.
    pub(crate) fn count_request(
        &self,
        caller: &Caller,
        peer: &Peer,
        now: Time,
    ) -> Result<(), Box<Problem>> {
        let Some(rate) = self.rate.filter(|_| !peer.unlimited) else {
            return Ok(());
        };
        let counted = match caller.token() {
            Some(token) => token.requests.take(now, rate),
            None => peer.count_request(now, rate),
        };
        counted.map_err(|seconds| {
            let (rate, burst) = (self.config.rate_per_s, self.config.rate_burst);
            Problem::new(
                Code::RateLimited,
                format!("more than {rate} requests a second, {burst} of them at once"),
            )
            .hint("ask for less, take a stream, or raise http.rate_per_s")
            .header(RETRY_AFTER, HeaderValue::from(seconds))
        })
    }

    /// The instrument that `text` names, as `venue:SYMBOL` or as a bare symbol.
    pub(crate) fn instrument(
        &self,
        text: &str,
    ) -> Result<(InstrumentId, &PublishedInstrument), Box<Problem>> {
        self.find(text).ok_or_else(|| self.unknown_symbol(text))
    }

    /// What is published of an instrument.
    pub(crate) fn published(&self, id: InstrumentId) -> Option<&PublishedInstrument> {
        self.state.published.instruments.get(id.index())
    }

    fn find(&self, text: &str) -> Option<(InstrumentId, &PublishedInstrument)> {
        // As nearly everybody writes it.
        if let Some((_, id)) = self.symbols.get(text).and_then(|venues| venues.first()) {
            return Some((*id, self.published(*id)?));
        }
        let (venue, symbol) = match text.split_once(':') {
            Some((venue, symbol)) => (Some(venue.parse::<VenueId>().ok()?), symbol),
            None => (None, text),
        };
        let symbol = normalise_symbol(symbol).ok()?;
        let (_, id) = self
            .symbols
            .get(&symbol)?
            .iter()
            .find(|(v, _)| venue.is_none_or(|wanted| wanted == *v))?;
        Some((*id, self.published(*id)?))
    }

    fn unknown_symbol(&self, text: &str) -> Box<Problem> {
        let shown: String = text.chars().take(64).collect();
        let symbol = text.rsplit(':').next().unwrap_or(text);
        let symbol: String = symbol.chars().filter(char::is_ascii_alphanumeric).collect();
        let known = || self.symbols.keys().map(String::as_str);
        let near = nearest(&symbol, known());
        let some = if near.is_empty() {
            known().take(3).collect()
        } else {
            near
        };
        let names: Vec<String> = some
            .iter()
            .filter_map(|symbol| self.symbols.get(*symbol))
            .flatten()
            .map(|(_, id)| self.name_of(*id))
            .take(3)
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let problem = Problem::new(
            Code::UnknownSymbol,
            format!("there is no instrument {shown:?} here"),
        )
        .list("nearest", names.iter().map(|n| (*n).to_owned()).collect());
        match either(&names) {
            Some(names) => problem.hint(format!(
                "did you mean {names}? GET /api/v1/symbols lists all"
            )),
            None => problem.hint("no instrument is configured: start with --symbols"),
        }
    }

    /// `venue:SYMBOL` of an instrument.
    pub(crate) fn name_of(&self, id: InstrumentId) -> String {
        self.published(id)
            .map_or_else(String::new, |p| p.instrument.load().name.to_string())
    }

    /// The position of an interval, and the interval; without `text`, one minute if it is kept, else the first.
    pub(crate) fn interval(&self, text: Option<&str>) -> Result<(usize, Interval), Box<Problem>> {
        let kept = &self.state.intervals;
        let wanted = match text {
            Some(text) => text.parse::<Interval>().map_err(|error| {
                Problem::new(Code::InvalidParameter, error.to_string()).member("field", "interval")
            })?,
            None if kept.contains(&Interval::MINUTE) => Interval::MINUTE,
            None => kept.first().copied().unwrap_or(Interval::MINUTE),
        };
        let at = kept.iter().position(|i| *i == wanted).ok_or_else(|| {
            let names: Vec<String> = kept.iter().map(ToString::to_string).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Problem::new(
                Code::UnknownInterval,
                format!("candles of {wanted} are not kept"),
            )
            .member("field", "interval")
            .hint(match either(&names) {
                Some(names) => format!("kept are {names}; start with --interval for others"),
                None => "no interval is kept: start with --interval".to_owned(),
            })
        })?;
        Ok((at, wanted))
    }
}
