//! `hean keydb bench`: what a server does in a second, and how long its slowest answers take; two
//! servers side by side in turns, so that a machine that changes its pace changes it for both.
//!
//! Every key it writes is under a name of its own and is removed, also when it is interrupted.

mod histogram;
mod measured;

pub use measured::{Measured, Row, ServerRow};

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::kernel::types::SECOND;
use crate::runtime::clock::{Clock, wall};
use crate::store::migrate::ToolError;
use crate::store::wire::{Commands, Connection, Peer, WireError};
use histogram::Histogram;

/// Different keys that are written.
const KEYS: usize = 10_000;
/// Keys that one command removes.
const REMOVED: usize = 1_000;

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchConfig {
    /// One server, or two.
    pub servers: Vec<Peer>,
    /// Requests of each kind in a round.
    pub requests: usize,
    /// Connections.
    pub clients: usize,
    /// Commands in one write, where commands are pipelined.
    pub pipeline: usize,
    /// Rounds, of all servers in turns.
    pub rounds: usize,
    /// Bytes of a value.
    pub size: usize,
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Get,
    SetPipelined,
    GetPipelined,
    Xadd,
}

/// All of them, values before those who read them.
const KINDS: [Kind; 5] = [
    Kind::Set,
    Kind::Get,
    Kind::SetPipelined,
    Kind::GetPipelined,
    Kind::Xadd,
];

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Get => "GET",
            Self::SetPipelined => "SET, pipelined",
            Self::GetPipelined => "GET, pipelined",
            Self::Xadd => "XADD",
        }
    }

    const fn pipelined(self) -> bool {
        matches!(self, Self::SetPipelined | Self::GetPipelined)
    }
}

/// What one client of one round needs.
#[derive(Debug)]
struct Work {
    kind: Kind,
    prefix: Arc<str>,
    value: Arc<[u8]>,
    /// Its number among the clients.
    client: usize,
    requests: usize,
    /// Commands in one write.
    batch: usize,
}

/// What one kind came to at one server.
#[derive(Debug, Default)]
struct Sum {
    per_second: Vec<f64>,
    latencies: Histogram,
}

/// Measures, and cleans up.
pub async fn run(config: &BenchConfig, clock: &Clock) -> Result<Measured, ToolError> {
    // Two runs at once do not remove each other's keys.
    let prefix: Arc<str> = format!("hean:bench:{:x}-{:x}:", wall().0, std::process::id()).into();
    let ended = tokio::select! {
        ended = measure(config, clock, &prefix) => ended,
        _ = tokio::signal::ctrl_c() => Err(ToolError::Unfinished("interrupted".to_owned())),
    };
    let mut cleaned = Ok(());
    for server in &config.servers {
        cleaned = cleaned.and(clean(server, &prefix, config.clients).await);
    }
    let measured = ended?;
    cleaned?;
    Ok(measured)
}

async fn measure(
    config: &BenchConfig,
    clock: &Clock,
    prefix: &Arc<str>,
) -> Result<Measured, ToolError> {
    let value: Arc<[u8]> = vec![b'x'; config.size].into();
    let mut connections = Vec::new();
    let mut versions = Vec::new();
    for server in &config.servers {
        let mut own = Vec::new();
        for _ in 0..config.clients {
            own.push(server.connect().await?);
        }
        if let Some(connection) = own.first_mut() {
            versions.push(connection.facts().await?.version);
        }
        connections.push(own);
    }
    let new = || KINDS.map(|_| Sum::default());
    let mut sums: Vec<[Sum; KINDS.len()]> = config.servers.iter().map(|_| new()).collect();
    for round in 0..config.rounds {
        for (at, kind) in KINDS.into_iter().enumerate() {
            for turn in 0..config.servers.len() {
                // Who goes first changes from round to round.
                let server = (turn + round) % config.servers.len();
                let own = std::mem::take(&mut connections[server]);
                let (own, latencies, seconds) =
                    once(config, clock, kind, own, prefix, &value).await?;
                connections[server] = own;
                let sum = &mut sums[server][at];
                sum.latencies.merge(&latencies);
                sum.per_second
                    .push(config.requests as f64 / seconds.max(1e-9));
            }
        }
    }
    Ok(Measured::new(config, versions, &sums))
}

/// One kind at one server: all clients at once.
async fn once(
    config: &BenchConfig,
    clock: &Clock,
    kind: Kind,
    connections: Vec<Connection>,
    prefix: &Arc<str>,
    value: &Arc<[u8]>,
) -> Result<(Vec<Connection>, Histogram, f64), WireError> {
    let mut clients = JoinSet::new();
    let count = connections.len().max(1);
    let began = clock.now();
    for (client, connection) in connections.into_iter().enumerate() {
        let share = config.requests / count + usize::from(client < config.requests % count);
        let work = Work {
            kind,
            prefix: Arc::clone(prefix),
            value: Arc::clone(value),
            client,
            requests: share,
            batch: if kind.pipelined() { config.pipeline } else { 1 },
        };
        clients.spawn(client_of(connection, work, clock.clone()));
    }
    let (mut back, mut all) = (Vec::with_capacity(count), Histogram::default());
    while let Some(ended) = clients.join_next().await {
        let ended = ended.map_err(|error| WireError::Unreachable {
            server: "a client of the benchmark".to_owned(),
            why: error.to_string(),
        })?;
        let (connection, latencies) = ended?;
        all.merge(&latencies);
        back.push(connection);
    }
    let seconds = clock.now().since(began) as f64 / SECOND as f64;
    Ok((back, all, seconds))
}

/// The requests of one client, one write after the other.
async fn client_of(
    mut connection: Connection,
    work: Work,
    clock: Clock,
) -> Result<(Connection, Histogram), WireError> {
    let mut latencies = Histogram::default();
    let (mut commands, mut done) = (Commands::default(), 0);
    let stream = stream(&work.prefix, work.client);
    while done < work.requests {
        commands.clear();
        for _ in 0..work.batch.min(work.requests - done) {
            // Scattered over all keys, the same for every server and round.
            let at = (done.wrapping_mul(7_919) + work.client * 1_013) % KEYS;
            done += 1;
            let key = key(&work.prefix, at);
            match work.kind {
                Kind::Set | Kind::SetPipelined => {
                    commands.push(&[b"SET", key.as_bytes(), &work.value]);
                }
                Kind::Get | Kind::GetPipelined => commands.push(&[b"GET", key.as_bytes()]),
                Kind::Xadd => {
                    commands.push(&[b"XADD", stream.as_bytes(), b"*", b"data", &work.value]);
                }
            }
        }
        let began = clock.now();
        let replies = connection.send(&commands).await?;
        latencies.add(u64::try_from(clock.now().since(began)).unwrap_or(0));
        if let Some(text) = replies.iter().find_map(|reply| reply.error()) {
            return Err(connection.refusal(work.kind.name().as_bytes(), text));
        }
    }
    Ok((connection, latencies))
}

fn key(prefix: &str, at: usize) -> String {
    format!("{prefix}{at}")
}

fn stream(prefix: &str, client: usize) -> String {
    format!("{prefix}stream:{client}")
}

/// Removes whatever a run has written.
async fn clean(server: &Peer, prefix: &str, clients: usize) -> Result<(), WireError> {
    let mut connection = server.connect().await?;
    let keys = (0..KEYS).map(|at| key(prefix, at));
    let streams = (0..clients).map(|client| stream(prefix, client));
    let all: Vec<String> = keys.chain(streams).collect();
    for some in all.chunks(REMOVED) {
        let mut words = vec![&b"DEL"[..]];
        words.extend(some.iter().map(String::as_bytes));
        connection.ask(&words).await?;
    }
    Ok(())
}
