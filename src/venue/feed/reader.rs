//! The task that owns a socket: read, decode, hand over. It never waits for anything but the socket.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use metrics::{Counter, Histogram, counter, histogram};
use tokio::sync::mpsc;

use super::Shared;
use super::gate::Gate;
use crate::kernel::event::{LossReason, Lost};
use crate::kernel::types::{SECOND, Time, VenueId};
use crate::runtime::mailbox::KernelHandle;
use crate::status::Moment;
use crate::venue::decode_error::DecodeError;
use crate::venue::protocol::{Answer, Said, TopicKind};
use crate::venue::ws::{Message, WsError, WsReader};

/// What the owner of a connection must know.
#[derive(Debug)]
pub(super) enum Control {
    /// The answer to one of our requests.
    Answer(Answer),
    /// The server is about to close.
    Shutdown,
    /// Reading has ended, for this reason.
    Ended(String),
}

/// Metric handles, looked up once. What [`crate::status::FeedStatus`] counts is exported from there.
#[derive(Debug)]
pub(super) struct Meters {
    ignored: Counter,
    latency: Histogram,
    decode: Histogram,
}

impl Meters {
    pub(super) fn new(venue: VenueId) -> Self {
        let venue = venue.name();
        Self {
            ignored: counter!("hean_feed_ignored_total", "venue" => venue),
            latency: histogram!("hean_feed_latency_seconds", "venue" => venue),
            decode: histogram!("hean_stage_seconds", "stage" => "decode"),
        }
    }
}

/// At most one warning a second about frames that cannot be read.
#[derive(Debug)]
struct Complaints {
    last: Time,
    kept_back: u64,
}

/// Reads until the connection ends, and says why to its owner.
pub(super) async fn read(
    shared: Arc<Shared>,
    socket: WsReader,
    gate: Arc<Gate>,
    heard: Arc<Moment>,
    owner: mpsc::Sender<Control>,
) {
    let why = run(&shared, socket, &gate, &heard, &owner).await;
    // The owner may have left already.
    drop(owner.send(Control::Ended(why)).await);
}

async fn run(
    shared: &Shared,
    mut socket: WsReader,
    gate: &Gate,
    heard: &Moment,
    owner: &mpsc::Sender<Control>,
) -> String {
    let mut complaints = Complaints {
        last: Time::ZERO,
        kept_back: 0,
    };
    let mut events = Vec::new();
    loop {
        let message = next(&mut socket, &shared.kernel).await;
        let received = shared.clock.now();
        let frame = match message {
            Ok(Message::Text(text)) => text.as_bytes(),
            // Venues send text; whatever this is, the decoder shall say.
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Close { code, reason }) => {
                let code = code.map_or_else(|| "none".to_owned(), |c| c.to_string());
                return format!("the venue closed the connection: code {code} {reason}");
            }
            Err(e) => return e.to_string(),
        };
        shared.status.messages.fetch_add(1, Ordering::Relaxed);
        shared.status.last_message.set(received);
        heard.set(received);
        gate.record(shared, received, frame);
        let decoded = shared.decoder.decode(frame, received, &mut events);
        let ready = shared.clock.now();
        shared.meters.decode.record(seconds(ready.since(received)));
        // Of a frame whose second half is bad nothing counts.
        if decoded.is_err() {
            events.clear();
        }
        for event in events.drain(..) {
            if event.venue_time != received {
                let late = received.since(event.venue_time);
                shared.meters.latency.record(seconds(late));
            }
            gate.pass(shared, event, ready);
        }
        match decoded {
            Ok(Said::Market) => {}
            Ok(Said::Ignored(_)) => shared.meters.ignored.increment(1),
            Ok(Said::Answer(answer)) => {
                if owner.try_send(Control::Answer(answer)).is_err() {
                    return "the venue sends answers that nobody asked for".to_owned();
                }
            }
            Ok(Said::Shutdown) => {
                // Full means that the owner has reasons enough to look.
                drop(owner.try_send(Control::Shutdown));
            }
            Err(error) => complaints.malformed(shared, frame, received, &error),
        }
    }
}

/// The next message. Rings for the kernel once, as soon as no further frame is at hand.
async fn next<'a>(socket: &'a mut WsReader, kernel: &KernelHandle) -> Result<Message<'a>, WsError> {
    let mut reading = pin!(socket.next());
    let mut rung = false;
    poll_fn(|context| {
        let poll = reading.as_mut().poll(context);
        if poll.is_pending() && !rung {
            kernel.ring();
            rung = true;
        }
        match poll {
            Poll::Ready(message) => Poll::Ready(message),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl Complaints {
    fn malformed(&mut self, shared: &Shared, frame: &[u8], now: Time, error: &DecodeError) {
        shared.status.decode_errors.fetch_add(1, Ordering::Relaxed);
        if let Some((victim, kind)) = shared.decoder.victim(frame) {
            let what = match kind {
                TopicKind::Trades => Lost::Trades,
                _ => Lost::Book,
            };
            shared.lost(victim, LossReason::Malformed, what);
        }
        if now.since(self.last) < SECOND {
            self.kept_back = self.kept_back.saturating_add(1);
            return;
        }
        let start = String::from_utf8_lossy(frame.get(..200).unwrap_or(frame));
        tracing::warn!(
            venue = %shared.status.venue, %error, frame = %start, kept_back = self.kept_back,
            "a frame cannot be read"
        );
        self.last = now;
        self.kept_back = 0;
    }
}

fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}
