//! What each address and each token uses: connections, requests, failed attempts.
//!
//! A connection finds its address's share once, when it is accepted; a request then costs one
//! compare-and-swap. Invariants: the map is bounded; when it is full of addresses in use, the
//! others share one entry, so that nobody gains by coming from many.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::kernel::types::{SECOND, Time};

/// Failed attempts that an address may make at once …
const FAILURES_BURST: u32 = 10;
/// … and how long until it may make another one, in nanoseconds.
const FAILURE_EVERY: i64 = SECOND;

/// A number of events each second, and as many at once as its burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Time that each event uses up, in nanoseconds.
    pub(crate) every: i64,
    /// How much of it may be used in advance.
    pub(crate) burst: u32,
}

impl Rate {
    /// `count` events a second, `burst` of them at once.
    pub(crate) fn per_second(count: u32, burst: u32) -> Self {
        Self {
            every: SECOND / i64::from(count.max(1)),
            burst: burst.max(1),
        }
    }
}

/// A token bucket in one word: the time up to which its tokens are used.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicI64);

impl Bucket {
    /// Takes one, or says how many seconds to wait.
    pub(crate) fn take(&self, now: Time, rate: Rate) -> Result<(), u64> {
        let now = now.0;
        let room = rate.every.saturating_mul(i64::from(rate.burst) - 1);
        let mut used = self.0.load(Ordering::Relaxed);
        loop {
            let from = used.max(now);
            let ahead = from - now - room;
            if ahead > 0 {
                let seconds = ahead.saturating_add(SECOND - 1) / SECOND;
                return Err(u64::try_from(seconds).unwrap_or(1));
            }
            let until = from.saturating_add(rate.every);
            match self
                .0
                .compare_exchange_weak(used, until, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(other) => used = other,
            }
        }
    }

    /// Whether all of it is there again.
    fn is_full(&self, now: Time) -> bool {
        self.0.load(Ordering::Relaxed) <= now.0
    }
}

/// What an address uses.
#[derive(Debug, Default)]
struct Share {
    connections: AtomicU32,
    requests: Bucket,
    failures: Bucket,
}

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Where it is.
    pub(crate) addr: SocketAddr,
    /// Whether its requests are not counted: it is on this machine.
    pub(crate) unlimited: bool,
    share: Arc<Share>,
}

impl Peer {
    /// Counts a request without a token.
    pub(crate) fn count_request(&self, now: Time, rate: Rate) -> Result<(), u64> {
        self.share.requests.take(now, rate)
    }

    /// Counts a failed attempt; too many are an error, the seconds to wait.
    pub(crate) fn count_failure(&self, now: Time) -> Result<(), u64> {
        if self.unlimited {
            return Ok(());
        }
        let rate = Rate {
            every: FAILURE_EVERY,
            burst: FAILURES_BURST,
        };
        self.share.failures.take(now, rate)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.share.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All addresses that are, or were lately, connected.
#[derive(Debug)]
pub(crate) struct Peers {
    shares: Mutex<BTreeMap<IpAddr, Arc<Share>>>,
    /// Of those that find no room.
    others: Arc<Share>,
    kept_max: usize,
}

impl Peers {
    /// Room for `kept_max` addresses.
    pub(crate) fn new(kept_max: usize) -> Self {
        Self {
            shares: Mutex::default(),
            others: Arc::default(),
            kept_max,
        }
    }

    /// A connection of `addr`; `None` if it has `max` of them already.
    pub(crate) fn connect(
        &self,
        addr: SocketAddr,
        max: u32,
        unlimited: bool,
        now: Time,
    ) -> Option<Peer> {
        let share = self.share(network(addr.ip()), now);
        if share.connections.fetch_add(1, Ordering::Relaxed) >= max {
            share.connections.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Peer {
            addr,
            unlimited,
            share,
        })
    }

    fn share(&self, ip: IpAddr, now: Time) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(&ip) {
            return Arc::clone(share);
        }
        if shares.len() >= self.kept_max {
            shares.retain(|_, share| {
                Arc::strong_count(share) > 1
                    || !share.requests.is_full(now)
                    || !share.failures.is_full(now)
            });
        }
        if shares.len() >= self.kept_max {
            return Arc::clone(&self.others);
        }
        Arc::clone(shares.entry(ip).or_default())
    }
}

/// The network that one user has to himself: an IPv4 address, or the /64 of an IPv6 address.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
