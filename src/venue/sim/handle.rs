//! Starting a simulated venue, and what its owner can ask it and order.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::faults::{Desk, Fault, FaultId, Injected};
use super::hub::Hub;
use super::market::{Market, MarketKind};
use super::shared::{DRIVERS, Setup, Shared, SimStatus, Synthetic};
use super::{SPEED_MAX, SimConfig, SimError, Source, live, playback, server, synthetic};
use crate::kernel::event::Level;
use crate::kernel::types::{Scale, Time};
use crate::recording;
use crate::runtime::clock::Clock;

/// A running simulated venue.
#[derive(Debug)]
pub struct SimHandle {
    /// Where it listens.
    pub local_addr: SocketAddr,
    /// What it says of itself.
    pub status: Arc<SimStatus>,
    /// Ends after the shutdown signal, with all connections.
    pub task: JoinHandle<()>,
    shared: Arc<Shared>,
}

/// The venue's own book of a symbol: what clients' books have to be equal to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrueBook {
    /// Last update id in it: `u` of Binance, `seq` of Bybit.
    pub id: u64,
    /// Digits of the prices.
    pub price_scale: Scale,
    /// Digits of the quantities.
    pub qty_scale: Scale,
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
    /// When it changed last.
    pub changed: Time,
}

impl SimHandle {
    /// The book of a symbol of a market that has begun, with the best `levels` of each side, as it
    /// is now; at another time of asking it may be newer. See [`Self::freeze`].
    pub fn book(&self, market: MarketKind, symbol: &str, levels: usize) -> Option<TrueBook> {
        let market = self.shared.opened(market)?;
        let listed = market.find(symbol)?.lock();
        let symbol = &listed.symbol;
        Some(TrueBook {
            id: symbol.book.last_id(),
            price_scale: symbol.instrument.price_scale,
            qty_scale: symbol.instrument.qty_scale,
            bids: symbol.book.bids().take(levels).collect(),
            asks: symbol.book.asks().take(levels).collect(),
            changed: symbol.book_time,
        })
    }

    /// Lets the synthetic markets stand still, or go on: a market that stands still says nothing more
    /// (what it said last may still be on its way), so its clients can be compared with it.
    pub fn freeze(&self, still: bool) {
        self.shared.frozen.send_replace(still);
    }

    /// Orders a fault.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.shared.desk.order(fault)
    }

    /// Ends a fault early: what it held back is sent. `false` if it was over already.
    pub fn lift(&self, fault: FaultId) -> bool {
        self.shared.desk.lift(fault)
    }

    /// What was done on purpose, oldest first, and how many older entries were forgotten.
    pub fn injected(&self) -> (Vec<Injected>, u64) {
        self.shared.desk.log()
    }

    /// Waits until a fault has happened, and says how the first time.
    pub async fn happened(&self, fault: FaultId) -> Injected {
        self.shared.desk.happened(fault).await
    }

    /// Connections now.
    pub fn clients(&self) -> usize {
        self.shared.hub.clients()
    }
}

/// Starts the simulated venue. It ends when `shutdown` becomes true (or its sender is gone).
pub async fn start(
    config: SimConfig,
    clock: Clock,
    shutdown: watch::Receiver<bool>,
) -> Result<SimHandle, SimError> {
    let listen = config.listen;
    let bind = |source| SimError::Listen {
        address: listen,
        source,
    };
    let (drivers, waiting) = mpsc::channel(DRIVERS);
    let desk = Desk::new(config.seed, config.faults);
    let setup = |synthetic, bare| Setup {
        synthetic,
        bare,
        silence: config.silence,
        drivers: drivers.clone(),
    };
    let shared = match config.source {
        Source::Recording {
            files,
            exchange,
            speed,
        } => {
            let (files, scan) = server::off_worker(move || {
                let files = recording::files(&files, exchange)?;
                let scan = recording::scan(&files, exchange)?;
                Ok::<_, recording::RecordingError>((files, scan))
            })
            .await?;
            if scan.malformed > 0 {
                tracing::warn!(
                    "{} lines of the recording are left out; the first: {}",
                    scan.malformed,
                    scan.first_fault.as_deref().unwrap_or("?")
                );
            }
            if scan.symbols.is_empty() {
                return Err(SimError::Empty {
                    first_fault: scan.first_fault,
                });
            }
            let kind = MarketKind::of(exchange);
            let hub = Hub::new(playback::needs(kind, &scan), playback::PATIENCE);
            let status = SimStatus::new("recording", Some(scan.frames), scan.malformed);
            let shared = Shared::new(setup(None, kind), hub, desk, Arc::new(status), clock);
            let shared = Arc::new(shared);
            let streams = playback::recorded_streams(&scan);
            let market = Arc::new(Market::new(kind, playback::symbols(kind, &scan), &streams));
            shared.install(Arc::clone(&market));
            let engine = Engine::new(Arc::clone(&shared), Arc::clone(&market));
            let driver = playback::run(Arc::clone(&shared), market, engine, files, speed);
            if drivers.send(Box::pin(driver)).await.is_err() {
                tracing::error!("the playback has no place to run");
            }
            shared
        }
        Source::Synthetic {
            seed,
            symbols,
            speed,
            rate,
        } => {
            if !(speed > 0.0 && speed <= SPEED_MAX && (0.01..=10.0).contains(&rate)) {
                return Err(SimError::Pace { speed, rate });
            }
            let symbols = synthetic::names(&symbols)?;
            let plan = Synthetic {
                seed,
                symbols,
                speed,
                rate,
            };
            let status = Arc::new(SimStatus::new("synthetic", None, 0));
            let hub = Hub::new(Vec::new(), live::PATIENCE);
            let setup = setup(Some(plan), config.bare);
            Arc::new(Shared::new(setup, hub, desk, status, clock))
        }
    };
    let listener = TcpListener::bind(listen).await.map_err(bind)?;
    let local_addr = listener.local_addr().map_err(bind)?;
    let status = Arc::clone(&shared.status);
    let task = tokio::spawn(server::serve(
        listener,
        Arc::clone(&shared),
        waiting,
        shutdown,
    ));
    for kind in config.begin {
        shared.open(kind).await;
    }
    tracing::info!("the simulated venue listens on {local_addr}");
    Ok(SimHandle {
        local_addr,
        status,
        task,
        shared,
    })
}
