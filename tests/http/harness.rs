//! A real server on loopback over hand-filled views, a kernel that answers as told, and a client
//! that speaks raw HTTP so that nothing between hides a byte.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use hean::http::{Access, AppState, Build, HttpConfig, IndicatorSeries, bind};
use hean::kernel::event::{
    Candle, CommandKind, DayStats, Level, Outcome, Record, ReportKind, Seq, Sequenced, Trade,
    VenueReport,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{
    Link, Order, OrderId, OrderSpec, OrderState, OrderType, PositionSide, Size, VenueOrderId,
};
use hean::kernel::portfolio::MarginMode;
use hean::kernel::risk::{RiskLimits, RiskMode, RiskState};
use hean::kernel::snapshot::{
    AccountView, BookView, IndicatorView, KernelView, OrderView, PositionView, Published,
    SeriesView, StatsView, StrategyView, TickerView,
};
use hean::kernel::statistics::Statistics;
use hean::kernel::types::{
    Contract, Instrument, InstrumentId, InstrumentName, Interval, Money, Price, Qty, Scale, Side,
    Time, VenueId,
};
use hean::runtime::clock::Clock;
use hean::runtime::mailbox::{Capacities, KernelHandle, KernelInbox, kernel_queues};
use hean::status::{FeedStatus, JournalStatus, KernelStatus, Mode, RecoveryStatus, StoreStatus};
use hean::venue::feed::streams::Feeding;
use hean::venue::protocol::TopicKind;

use super::client::{Answer, Client};

/// Nothing here takes so long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const MINUTE_MS: i64 = 60_000;
/// Open time of the first candle, in milliseconds.
pub(crate) const FIRST_MS: i64 = 1_700_000_040_000;

pub(crate) fn at(ms: i64) -> Time {
    Time::from_millis(ms).expect("in range")
}

fn scale(digits: u8) -> Scale {
    Scale::new(digits).expect("scale")
}

pub(crate) fn money(text: &str) -> Money {
    Money::parse(text).expect("amount")
}

fn instrument(venue: VenueId, base: &str) -> Instrument {
    let name = InstrumentName {
        venue,
        symbol: format!("{base}USDT"),
    };
    Instrument {
        tick: Price(10),
        qty_min: Qty(1),
        notional_min: money("5"),
        ..Instrument::unlimited(name, base, "USDT", (scale(2), scale(5)))
    }
}

fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Price(price),
        qty: Qty(qty),
    }
}

pub(crate) fn candle(index: i64) -> Candle {
    Candle {
        open_time: at(FIRST_MS + index * MINUTE_MS),
        open: Price(6_160_000 + index),
        high: Price(6_160_100 + index),
        low: Price(6_159_900),
        close: Price(6_160_050 + index),
        volume: 123_450_000_000_000_000_001,
        quote_volume: 7,
        trades: 3,
    }
}

/// A limit order to buy that is post-only, with key `key-{id}`.
pub(crate) fn limit_spec(id: u64) -> OrderSpec {
    let kind = OrderType::Limit {
        price: Price(6_160_210),
    };
    OrderSpec {
        post_only: true,
        client_order_id: format!("key-{id}").parse().ok(),
        ..OrderSpec::new(InstrumentId(0), Side::Buy, kind, Size::Base(Qty(3)))
    }
}

pub(crate) fn order(id: u64, state: OrderState) -> Order {
    order_of(id, state, limit_spec(id))
}

/// An order as the ledger makes it, which its venue answered after 2 ms, under another id and in another
/// state.
pub(crate) fn order_of(id: u64, state: OrderState, spec: OrderSpec) -> Order {
    let mut ledger = Ledger::new(1);
    let mut seq = 0;
    let mut apply = |ms: i64, record: Record| {
        seq += 1;
        let record = Sequenced {
            seq: Seq(seq),
            time: at(FIRST_MS + ms),
            record,
        };
        ledger.apply(&record).expect("a record that fits")
    };
    for index in 0..=spec.instrument.0 {
        let base = format!("C{index}");
        apply(
            0,
            Record::InstrumentDefined {
                id: InstrumentId(index),
                instrument: Box::new(instrument(VenueId::Binance, &base)),
            },
        );
    }
    let (qty, hold) = match spec.size {
        Size::Base(qty) => (qty, spec.kind.limit().unwrap_or(Price(0))),
        Size::Quote(_) | Size::Position => (Qty(3), Price(0)),
    };
    let made = apply(
        0,
        Record::Intent {
            order: spec.into(),
            qty,
            hold,
        },
    );
    let made = made.order.expect("an order");
    apply(
        2,
        Record::Report(VenueReport {
            order: made,
            time: at(FIRST_MS + 2),
            kind: ReportKind::Acked {
                venue_order_id: VenueOrderId(u128::from(id) + 900),
            },
        }),
    );
    let mut order = ledger.orders().get(made).expect("it is there").clone();
    order.id = OrderId(id);
    order.state = state;
    order.updated = at(FIRST_MS + 5);
    order
}

/// Publishes an order as the kernel does.
pub(crate) fn publish(published: &Published, order: Order) {
    if let Some(key) = order.client_order_id() {
        published.client_orders.insert(*key, order.id);
    }
    if let Link::Exit { parent, role } = order.link() {
        published.exits.insert((*parent, *role), order.id);
    }
    let seq = Seq(9);
    published
        .orders
        .insert(order.id, Arc::new(OrderView { order, seq }));
}

/// Instruments, in the order of their ids: BTC and ETH on binance, BTC and SOL on sim.
fn published() -> Arc<Published> {
    let instruments = vec![
        instrument(VenueId::Binance, "BTC"),
        instrument(VenueId::Binance, "ETH"),
        instrument(VenueId::Sim, "BTC"),
        Instrument {
            contract: Contract::LinearPerpetual,
            ..instrument(VenueId::Sim, "SOL")
        },
    ];
    let hour = "1h".parse().expect("interval");
    let published = Published::new(instruments, &[hour, Interval::MINUTE]);
    for instrument in &published.instruments {
        instrument.book.store(Arc::new(BookView {
            valid: true,
            update_id: 9_007_199_254_740_993,
            time: at(FIRST_MS),
            bids: (0..100)
                .map(|i| level(6_160_200 - i, 100_000 + i))
                .collect(),
            asks: (0..100).map(|i| level(6_160_210 + i, 1 + i)).collect(),
            updates: 7,
            gaps: 2,
            ..BookView::default()
        }));
    }
    let btc = &published.instruments[0];
    btc.ticker.store(Arc::new(TickerView {
        last_price: Some(Price(6_160_201)),
        bid: Some(level(6_160_200, 100_000)),
        ask: Some(level(6_160_210, 1)),
        time: at(FIRST_MS + 7),
        received: at(FIRST_MS + 8),
        derivative: None,
        last_liquidation: None,
        liquidations: 0,
        trade_gaps: 0,
        day: Some(DayStats {
            open: Some(Price(6_000_000)),
            high: Some(Price(6_200_000)),
            low: Some(Price(5_900_000)),
            volume: Some(1_234_567),
            quote_volume: Some(1),
        }),
        session_volume: 9,
        trades: 3,
        recent: (1..=3)
            .map(|id| Trade {
                id,
                first_id: id,
                last_id: id,
                price: Price(6_160_000),
                qty: Qty(100_000),
                taker: Side::Sell,
                time: at(FIRST_MS),
            })
            .collect(),
    }));
    let view = |name: &str, outputs, values| IndicatorView {
        name: name.to_owned(),
        outputs,
        values,
        preview: None,
    };
    btc.series[1].view.store(Arc::new(SeriesView {
        mismatches: 0,
        closed: (0..1_200).map(candle).collect(),
        forming: Some(candle(1_200)),
        indicators: Arc::new(vec![
            view("sma:20", &["value"], Some([61_600.25, 0.0, 0.0])),
            view("ema:20", &["value"], None),
            view(
                "macd:12:26:9",
                &["macd", "signal", "histogram"],
                Some([1.5, -0.25, 1.75]),
            ),
        ]),
    }));
    let mut statistics = Statistics::default();
    for minute in 0..150 {
        let equity = money("100000").plus(Money::whole(minute)).expect("small");
        statistics
            .equity(
                at(FIRST_MS + minute * MINUTE_MS),
                equity,
                money("100000"),
                0,
            )
            .expect("in range");
    }
    let flat = PositionView {
        instrument: InstrumentId(1),
        position_side: PositionSide::Both,
        qty: 0,
        cost: Money::ZERO,
        mark: None,
        unrealized_pnl: Money::ZERO,
        realized_pnl: money("7"),
        fees: Money::ZERO,
        funding: Money::ZERO,
        leverage: None,
        margin_mode: None,
        margin: Money::ZERO,
        liquidation_price: None,
    };
    published.account.store(Arc::new(AccountView {
        currency: "USDT".to_owned(),
        time: at(FIRST_MS),
        cash: money("99999.9999999999999999"),
        held: money("0.9999999999999999"),
        equity: money("100001.5"),
        pnl_total: money("1.5"),
        pnl_today: money("-0.5"),
        available: money("99000"),
        margin: money("12.5"),
        funding: money("-0.25"),
        exposure: money("150.75"),
        assets: vec![("BNB".to_owned(), money("0.5"))],
        positions: vec![
            PositionView {
                instrument: InstrumentId(0),
                qty: 3,
                cost: money("1.8480603"),
                mark: Some(Price(6_160_201)),
                unrealized_pnl: money("-0.1"),
                realized_pnl: money("0.2"),
                fees: money("0.01"),
                ..flat.clone()
            },
            PositionView {
                instrument: InstrumentId(3),
                position_side: PositionSide::Long,
                qty: 200_000,
                cost: money("300"),
                mark: Some(Price(15_100)),
                unrealized_pnl: money("2"),
                fees: money("0.3"),
                funding: money("-0.25"),
                leverage: Some(10),
                margin_mode: Some(MarginMode::Isolated),
                margin: money("30"),
                liquidation_price: Some(Price(13_560)),
                ..flat.clone()
            },
            PositionView {
                instrument: InstrumentId(3),
                position_side: PositionSide::Short,
                ..flat.clone()
            },
            flat,
        ],
        stats: StatsView {
            fills: 12,
            wins: 1,
            losses: 2,
            win_rate_percent: Some(100.0 / 3.0),
            sharpe_ratio: None,
            sortino_ratio: Some(0.5),
            profit_factor: None,
            turnover: money("1234.5"),
            losing_streak: 2,
            max_drawdown_percent: 1.25,
            drawdown_percent: 0.75,
        },
        curve: Arc::clone(statistics.curve()),
        ..AccountView::default()
    }));
    published.kernel.store(Arc::new(KernelView {
        seq: Seq(10),
        durable: Seq(9),
        strategies: vec![StrategyView {
            name: "grid".to_owned(),
            kind: "grid".to_owned(),
            version: 7,
            running: true,
            decisions: Vec::new(),
        }]
        .into(),
        strategy_names: vec!["ema_cross".to_owned(), "grid".to_owned()].into(),
        orders_open: 4,
        risk_mode: RiskMode::ReduceOnly,
        risk_cause: Some("losing_streak"),
        risk: RiskState {
            cool_down_until: Some(at(FIRST_MS + 9)),
            ..RiskState::default()
        },
        ..KernelView::default()
    }));
    Arc::new(published)
}

/// Stands in for the real indicators: one output that is the close, or what it was asked for.
fn indicator(
    spec: &str,
    candles: &hean::kernel::market::CandleLog,
    instrument: &Instrument,
) -> Result<IndicatorSeries, String> {
    let outputs: &'static [&'static str] = match spec.split(':').next() {
        Some("macd") => &["macd", "signal", "histogram"],
        Some("rsi") => &["value"],
        _ => return Err(format!("there is no indicator {spec:?}; did you mean rsi?")),
    };
    let row = |(at, candle): (usize, &Candle)| {
        (at > 0).then(|| [candle.close.to_f64(instrument.price_scale), 0.1, -1e-7])
    };
    Ok(IndicatorSeries {
        name: spec.to_owned(),
        outputs,
        rows: candles.iter().enumerate().map(row).collect(),
    })
}

fn prometheus() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| hean::metrics::install().expect("first in this process"))
        .clone()
}

/// What the fake kernel makes of a command; `None` keeps the caller waiting.
pub(crate) type Answering = Box<dyn FnMut(CommandKind, &Published) -> Option<Outcome> + Send>;

/// A running server.
pub(crate) struct Harness {
    pub(crate) state: Arc<AppState>,
    /// How far the journal is on its disk.
    pub(crate) durable: tokio::sync::watch::Sender<Seq>,
    pub(crate) addr: std::net::SocketAddr,
    pub(crate) access: Arc<Access>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) server: Option<JoinHandle<()>>,
}

impl Harness {
    /// Without a kernel: commands stay in the queue of one.
    pub(crate) async fn without_kernel(config: HttpConfig) -> (Self, KernelInbox) {
        let published = published();
        let capacities = Capacities {
            commands: 1,
            ..Capacities::default()
        };
        let (kernel, inbox) = kernel_queues(capacities, published.instruments.len());
        (Self::serve(config, published, kernel).await, inbox)
    }

    /// With a kernel thread that answers by `answering`.
    pub(crate) async fn start(config: HttpConfig, mut answering: Answering) -> Self {
        let published = published();
        let (kernel, inbox) = kernel_queues(Capacities::default(), published.instruments.len());
        let views = Arc::clone(&published);
        std::thread::spawn(move || {
            inbox.bell().adopt();
            let mut waiting = Vec::new();
            while !inbox.is_closed() {
                inbox
                    .bell()
                    .wait(PATIENCE, || inbox.has_work() || inbox.is_closed());
                while let Some(envelope) = inbox.command() {
                    match answering(envelope.kind, &views) {
                        Some(outcome) => drop(envelope.reply.send(outcome)),
                        None => waiting.push(envelope.reply),
                    }
                }
            }
        });
        Self::serve(config, published, kernel).await
    }

    /// With a kernel that is never asked anything.
    pub(crate) async fn reading(config: HttpConfig) -> Self {
        Self::start(config, Box::new(|kind, _| panic!("unexpected {kind:?}"))).await
    }

    async fn serve(config: HttpConfig, published: Arc<Published>, kernel: KernelHandle) -> Self {
        let clock = Clock::start();
        let now = clock.now();
        let feed = FeedStatus::new(VenueId::Binance);
        feed.connected.store(true, Relaxed);
        feed.messages.store(5, Relaxed);
        let feeding = Feeding::new(InstrumentId(0), instrument(VenueId::Binance, "BTC"));
        let stream = feeding.stream(TopicKind::Depth);
        stream.subscribed.store(true, Relaxed);
        stream.messages.store(4, Relaxed);
        stream.received.set(now);
        feed.streams.set([feeding].into()).expect("the first one");
        feed.last_message.set(now);
        let kernel_status = KernelStatus::default();
        kernel_status.heartbeat.set(now);
        let journal = JournalStatus::default();
        journal.set_durable(Seq(9));
        let recovery = RecoveryStatus {
            snapshot: Some(Seq(4)),
            records: 3,
            segments: 1,
            cut_bytes: 12,
            quarantined: 0,
            seq: Seq(7),
            open_orders: 2,
            unknown_orders: 1,
            positions: 1,
            risk_mode: RiskMode::Normal,
            elapsed_ns: 2_500_000,
        };
        journal.recovery.set(recovery).expect("the first one");
        let store = StoreStatus::default();
        store.up.store(true, Relaxed);
        store.set_applied(Seq(7));
        let durable = tokio::sync::watch::Sender::new(Seq(9));
        let state = Arc::new(AppState {
            published,
            kernel,
            kernel_status: Arc::new(kernel_status),
            feeds: vec![Arc::new(feed)],
            journal: Arc::new(journal),
            durable: durable.subscribe(),
            orders: Arc::default(),
            store: Some(Arc::new(store)),
            recorder: Some(Arc::default()),
            mode: Mode::Paper,
            venues: vec![VenueId::Binance, VenueId::Sim],
            intervals: vec!["1h".parse().expect("interval"), Interval::MINUTE],
            clock,
            started: now,
            build: Build::THIS,
            prometheus: prometheus(),
            indicator,
            limits: RiskLimits::default(),
            halt_flattens: true,
            reload: Arc::default(),
        });
        let config = HttpConfig {
            listen: "127.0.0.1:0".parse().expect("address"),
            ..config
        };
        let access = Access::prepare(&config, Mode::Paper, &state.clock).expect("access");
        let access = Arc::new(access);
        let server = bind(config, Arc::clone(&access), Arc::clone(&state))
            .await
            .expect("bind");
        let addr = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server.serve(async {
            let _closed = stopped.await;
        }));
        Self {
            state,
            durable,
            addr,
            access,
            stop: Some(stop),
            server: Some(server),
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.addr).await.expect("connect");
        Client::new(socket)
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        let mut client = self.connect().await;
        client.request(method, target, body).await;
        client.answer().await
    }

    /// Returns when there is a place for one more connection.
    pub(crate) async fn healthy_again(&self) {
        let asking = async { while self.get("/health").await.status != 200 {} };
        tokio::time::timeout(PATIENCE, asking)
            .await
            .expect("a place");
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.state.kernel.close();
    }
}
