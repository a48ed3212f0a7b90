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
    /// This process, for what it asks itself.
    pub(crate) fn ourselves() -> Self {
        Self {
            addr: SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0)),
            unlimited: true,
            share: Arc::new(Share {
                connections: AtomicU32::new(1),
                ..Share::default()
            }),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_000_000_000);

    fn addr(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 9)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let bucket = Bucket::default();
        let rate = Rate::per_second(4, 3);
        let taken = |now: Time, count: usize| {
            (0..count)
                .filter(|_| bucket.take(now, rate).is_ok())
                .count()
        };
        assert_eq!(taken(NOW, 10), 3);
        assert_eq!(bucket.take(NOW, rate), Err(1));
        assert_eq!(taken(NOW.plus(SECOND / 4 - 1), 10), 0);
        assert_eq!(taken(NOW.plus(SECOND / 4), 10), 1);
        // Over ten seconds: what comes back in them, and no burst beside it.
        let all: usize = (1..=1_000)
            .map(|n| taken(NOW.plus(SECOND / 4 + n * SECOND / 100), 5))
            .sum();
        assert_eq!(all, 40);
        assert_eq!(taken(NOW.plus(100 * SECOND), 10), 3);
        // A clock that steps back gives nothing away and blocks nobody for long.
        assert_eq!(taken(NOW.plus(99 * SECOND), 10), 0);
        assert_eq!(bucket.take(NOW.plus(99 * SECOND), rate), Err(2));
        let slow = Rate {
            every: 60 * SECOND,
            burst: 1,
        };
        let bucket = Bucket::default();
        assert_eq!(bucket.take(NOW, slow), Ok(()));
        assert_eq!(bucket.take(NOW.plus(1), slow), Err(60));
    }

    #[test]
    fn connections_of_an_address_are_bounded_and_given_back() {
        let peers = Peers::new(10);
        let connect = |ip: &str| peers.connect(addr(ip), 2, false, NOW);
        let held = [connect("192.0.2.1"), connect("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(connect("192.0.2.1").is_none());
        assert!(connect("192.0.2.2").is_some());
        drop(held);
        assert!(connect("192.0.2.1").is_some());
        let held = [connect("2001:db8:1:2::1"), connect("2001:db8:1:2:ffff::1")];
        assert!(connect("2001:db8:1:2:3:4:5:6").is_none());
        assert!(connect("2001:db8:1:3::1").is_some());
        drop(held);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let peers = Peers::new(10);
        let ip = |n: u32| format!("198.51.{}.{}", n / 256, n % 256);
        for n in 0..1_000 {
            assert!(peers.connect(addr(&ip(n)), 2, false, NOW).is_some());
            assert!(peers.shares.lock().len() <= 10);
        }
        // Ten that are in use fill it: the others share a place.
        let held: Vec<_> = (0..10)
            .map(|n| peers.connect(addr(&ip(n)), 2, false, NOW))
            .collect();
        let [a, b] = [ip(20), ip(21)].map(|ip| peers.connect(addr(&ip), 2, false, NOW));
        assert!(a.is_some() && b.is_some());
        assert!(peers.connect(addr(&ip(22)), 2, false, NOW).is_none());
        drop(held);
        // Failures are remembered until they are forgiven, over connections that end.
        let guess = |now: Time| {
            let peer = peers.connect(addr(&ip(30)), 2, false, now).expect("room");
            peer.count_failure(now)
        };
        let failed = (0..20).filter(|_| guess(NOW).is_err()).count();
        assert_eq!(failed, 10);
        for n in 40..60 {
            peers.connect(addr(&ip(n)), 2, false, NOW);
        }
        assert!(guess(NOW).is_err());
        assert!(guess(NOW.plus(SECOND)).is_ok());
        let here = peers
            .connect(addr("127.0.0.1"), 2, true, NOW)
            .expect("room");
        assert!((0..1_000).all(|_| here.count_failure(NOW).is_ok()));
    }
}
