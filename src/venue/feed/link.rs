//! The life of one shard: connect, deliver, replace the connection before the venue ends it, come back
//! after a loss.
//!
//! Invariants: what a shard carried is reported as [`LossReason::Disconnected`] after its last event; a
//! connection that is replaced in time loses nothing and reports nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::connection::Connection;
use super::gate::Gate;
use super::plan::Shard;
use super::reader::Control;
use super::{LinkEnd, News, Shared};
use crate::kernel::event::{LossReason, Lost};
use crate::kernel::types::SECOND;
use crate::venue::backoff::Backoff;
use crate::venue::protocol::TopicKind;

/// A connection that lived this long was a good one: the next attempt comes without back-off.
const GOOD: i64 = 60 * SECOND;
/// How long an old connection may take to deliver what came before a new one's first events.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A wish towards a link.
#[derive(Debug)]
pub(super) enum Wish {
    /// Leave these topics (places in the shard) and subscribe to them anew.
    Renew(Vec<usize>),
    /// Subscribe to these topics, or leave them.
    Subscribe(bool, Vec<usize>),
    /// Give the connection up: it is silent, or does not heal.
    Reconnect(String),
    /// Say good-bye and end.
    Leave,
}

/// One shard.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) shard: Arc<Shard>,
    /// Its number, for the owner.
    pub(super) number: usize,
    pub(super) wishes: mpsc::Receiver<Wish>,
    pub(super) news: mpsc::Sender<News>,
    /// Topics that are not wanted now.
    pub(super) left_out: Vec<usize>,
    pub(super) seed: u64,
}

impl Link {
    /// Runs until it is told to leave, or dropped.
    pub(super) async fn run(mut self) {
        let config = &self.shared.config;
        let mut backoff = Backoff::new(config.reconnect.0, config.reconnect.1, self.seed);
        let mut connections = 0_u64;
        loop {
            let opening =
                Connection::open(&self.shared, &self.shard, &self.left_out, Gate::new(true));
            let end = match opening.await {
                Ok(connection) => {
                    connections += 1;
                    if connections > 1 {
                        self.shared
                            .status
                            .reconnects
                            .fetch_add(1, Ordering::Relaxed);
                    }
                    let since = connection.since;
                    let end = self.begin(connection).await;
                    if self.shared.clock.now().since(since) > GOOD {
                        backoff.reset();
                    }
                    end
                }
                Err(end) => {
                    self.lost();
                    end
                }
            };
            let pause = match end {
                LinkEnd::Left => return,
                LinkEnd::Announced => Duration::ZERO,
                _ => backoff.delay(),
            };
            tracing::warn!(
                venue = %self.shared.status.venue, link = self.number, reason = %end,
                pause_ms = pause.as_millis(), "market data connection ended"
            );
            sleep(pause).await;
        }
    }

    /// Serves a new connection with what was wished meanwhile.
    async fn begin(&mut self, mut connection: Connection) -> LinkEnd {
        // Who wanted the one before to end has got that, however many they were.
        let waiting = std::iter::from_fn(|| self.wishes.try_recv().ok());
        let kept: Vec<Wish> = waiting
            .filter(|wish| !matches!(wish, Wish::Reconnect(_)))
            .collect();
        for wish in kept {
            if let Err(end) = self.carry_out(wish, &mut connection).await {
                connection.close(matches!(end, LinkEnd::Left)).await;
                self.lost();
                return end;
            }
        }
        self.live(connection).await
    }

    /// From a subscribed connection to the end of the last one that replaced it.
    async fn live(&mut self, mut connection: Connection) -> LinkEnd {
        self.tell(true).await;
        let end = loop {
            match self.serve(&mut connection).await {
                Served::Ended(end) => break end,
                Served::Renew(why) => match self.replace(connection, why).await {
                    Ok(next) => connection = next,
                    Err(end) => {
                        self.tell(false).await;
                        self.mark_hole();
                        self.lost();
                        return end;
                    }
                },
            }
        };
        let wanted = matches!(end, LinkEnd::Left);
        connection.close(wanted).await;
        self.tell(false).await;
        if !wanted {
            self.mark_hole();
        }
        self.lost();
        end
    }

    /// Until the connection ends, or should be replaced.
    async fn serve(&mut self, connection: &mut Connection) -> Served {
        let protocol = self.shared.config.access.protocol();
        let route = protocol.routes().get(self.shard.route);
        let every = route.map_or(0, |route| route.ping_every_s);
        let renew = sleep_until(Instant::now() + self.life());
        tokio::pin!(renew);
        let mut pings = interval(Duration::from_secs(every.max(1)));
        pings.reset();
        let mut check = interval(self.shared.config.tick());
        loop {
            let done = tokio::select! {
                biased;
                control = connection.next() => match control {
                    Control::Answer(answer) => connection.answered(answer).await,
                    Control::Shutdown => return Served::Renew("the venue announced its shutdown"),
                    Control::Ended(why) => Err(LinkEnd::Reader(why)),
                },
                () = &mut renew => return Served::Renew("the connection is old"),
                Some(wish) = self.wishes.recv() => self.carry_out(wish, connection).await,
                _ = pings.tick(), if every > 0 => connection.ping().await,
                _ = check.tick() => self.check(connection, every)
            };
            if let Err(end) = done {
                return Served::Ended(end);
            }
        }
    }

    /// Whether the venue owes us an answer; our pings are answered too.
    fn check(&self, connection: &Connection, ping_every_s: u64) -> Result<(), LinkEnd> {
        let now = self.shared.clock.now();
        let heard = connection.heard.get().unwrap_or(now);
        let most = i64::try_from(ping_every_s).unwrap_or(0) * 3 * SECOND;
        if connection.overdue(now) || (most > 0 && now.since(heard) > most) {
            return Err(LinkEnd::NoAnswer);
        }
        Ok(())
    }

    /// How long a connection is kept: the configured time, less up to a fifth of it at random, so that
    /// not all are replaced at once.
    fn life(&mut self) -> Duration {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let most = self.shared.config.renew;
        let fifth = u64::try_from((most / 5).as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        most.saturating_sub(Duration::from_millis((self.seed >> 33) % fifth))
    }

    async fn carry_out(&mut self, wish: Wish, connection: &mut Connection) -> Result<(), LinkEnd> {
        match wish {
            Wish::Renew(mut topics) => {
                // Many at once go in few messages: the venue counts those.
                let mut other = None;
                while let Ok(next) = self.wishes.try_recv() {
                    match next {
                        Wish::Renew(more) => topics.extend(more),
                        wish => {
                            other = Some(wish);
                            break;
                        }
                    }
                }
                topics.sort_unstable();
                topics.dedup();
                connection.request(false, &topics).await?;
                connection.request(true, &topics).await?;
                match other {
                    Some(wish) => Box::pin(self.carry_out(wish, connection)).await,
                    None => Ok(()),
                }
            }
            Wish::Subscribe(true, topics) => {
                self.left_out.retain(|at| !topics.contains(at));
                connection.request(true, &topics).await
            }
            Wish::Subscribe(false, topics) => {
                self.left_out.extend(&topics);
                connection.request(false, &topics).await
            }
            Wish::Reconnect(why) => Err(LinkEnd::Reader(why)),
            Wish::Leave => Err(LinkEnd::Left),
        }
    }

    /// Makes a new connection before the old one is broken.
    async fn replace(&mut self, mut old: Connection, why: &str) -> Result<Connection, LinkEnd> {
        let shared = Arc::clone(&self.shared);
        tracing::info!(
            venue = %shared.status.venue, link = self.number, why,
            "replacing a market data connection"
        );
        let config = &shared.config;
        let mut backoff = Backoff::new(config.reconnect.0, config.reconnect.1, self.seed);
        let next = loop {
            let opening = Connection::open(&shared, &self.shard, &self.left_out, Gate::new(false));
            tokio::pin!(opening);
            let opened = loop {
                tokio::select! {
                    biased;
                    control = old.next() => if let Control::Ended(why) = control {
                        old.close(false).await;
                        return Err(LinkEnd::Reader(why));
                    },
                    opened = &mut opening => break opened,
                }
            };
            match opened {
                Ok(next) => break next,
                Err(error) => {
                    let pause = backoff.delay();
                    tracing::warn!(
                        venue = %shared.status.venue, link = self.number, %error,
                        pause_ms = pause.as_millis(), "cannot replace the connection yet"
                    );
                    tokio::select! {
                        biased;
                        control = old.next() => if let Control::Ended(why) = control {
                            old.close(false).await;
                            return Err(LinkEnd::Reader(why));
                        },
                        () = sleep(pause) => {}
                    }
                }
            }
        };
        let until = Instant::now() + CATCH_UP;
        let mut look = interval(LOOK);
        while !next.gate.caught_up(&shared) && Instant::now() < until {
            tokio::select! {
                biased;
                control = old.next() => if matches!(control, Control::Ended(_)) {
                    break; // all that it will ever deliver has been delivered
                },
                _ = look.tick() => {}
            }
        }
        // Its last event comes before the first one of the new connection.
        old.close(true).await;
        next.let_through();
        shared.status.replaced.fetch_add(1, Ordering::Relaxed);
        Ok(next)
    }

    async fn tell(&self, up: bool) {
        // The owner outlives its links.
        drop(
            self.news
                .send(News {
                    link: self.number,
                    up,
                })
                .await,
        );
    }

    /// Tells who reads the recording that nobody knows what comes next.
    fn mark_hole(&self) {
        if let Some(recorder) = &self.shared.config.recorder {
            recorder.gap(self.shared.status.venue, self.shared.clock.now());
        }
    }

    /// Tells the kernel what is not to be trusted any more.
    fn lost(&self) {
        for (at, feeding) in self.shared.instruments.iter().enumerate() {
            let mut kinds = (false, false);
            for feed in self.shard.feeds.iter().filter(|feed| feed.at == at) {
                match feed.topic.kind {
                    TopicKind::Depth | TopicKind::Quote => kinds.0 = true,
                    TopicKind::Trades => kinds.1 = true,
                    TopicKind::Candles
                    | TopicKind::Ticker
                    | TopicKind::Mark
                    | TopicKind::Liquidations => {}
                }
                feeding.forget(feed.topic.kind);
                let stream = feeding.stream(feed.topic.kind);
                stream.subscribed.store(false, Ordering::Relaxed);
            }
            let what = match kinds {
                (true, true) => Lost::All,
                (true, false) => Lost::Book,
                (false, true) => Lost::Trades,
                (false, false) => continue,
            };
            self.shared.lost(feeding.id, LossReason::Disconnected, what);
        }
        self.shared.kernel.ring();
    }
}

enum Served {
    Ended(LinkEnd),
    Renew(&'static str),
}
