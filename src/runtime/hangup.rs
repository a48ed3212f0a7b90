//! SIGHUP: everybody who reads something anew is asked to, and says when that is done.
//!
//! One place hears the signal, so that a service manager can be told when a reload begins and when it has
//! ended everywhere.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// A wish to read anew. It is done, whatever came of it, when this is dropped.
#[derive(Debug)]
pub struct Renewal {
    _done: oneshot::Sender<()>,
}

/// Where a part hears of wishes to read anew.
pub type Renewals = mpsc::Receiver<Renewal>;

/// The signal, and those who are to hear of it.
#[derive(Debug)]
pub struct Hangups {
    signal: Signal,
    parts: Vec<mpsc::Sender<Renewal>>,
}

impl Hangups {
    /// From now on the signal ends the process no more; what comes before [`Hangups::run`] is kept.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            signal: signal(SignalKind::hangup())?,
            parts: Vec::new(),
        })
    }

    /// One more part that is asked.
    pub fn part(&mut self) -> Renewals {
        let (sender, renewals) = mpsc::channel(1); // the next wish waits until this one is done
        self.parts.push(sender);
        renewals
    }

    /// Asks all parts at each signal, for ever; tells when that begins and when all of them are done.
    pub async fn run(mut self, begins: impl Fn(), ends: impl Fn()) {
        while self.signal.recv().await.is_some() {
            begins();
            self.renew().await;
            ends();
        }
    }

    async fn renew(&self) {
        let mut waits = Vec::new();
        for part in &self.parts {
            let (done, wait) = oneshot::channel();
            // A part that has ended reads nothing any more.
            if part.send(Renewal { _done: done }).await.is_ok() {
                waits.push(wait);
            }
        }
        for wait in waits {
            // Only ever dropped.
            drop(wait.await);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn a_renewal_lasts_until_the_last_part_is_done() {
        let mut hangups = Hangups::listen().expect("a signal");
        let (mut quick, mut slow) = (hangups.part(), hangups.part());
        drop(hangups.part()); // one that has ended
        let mut renewal = pin!(hangups.renew());
        let mut poll = || {
            let mut context = Context::from_waker(Waker::noop());
            renewal.as_mut().poll(&mut context).is_ready()
        };
        assert!(!poll());
        let slow_wish = slow.try_recv().expect("it was asked");
        assert!(!poll());
        drop(quick.try_recv().expect("it was asked"));
        assert!(!poll(), "one is not done");
        drop(slow_wish);
        assert!(poll());
    }
}
