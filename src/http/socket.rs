//! A socket with what hyper leaves to its user: a deadline for headers that trickle in, one for a
//! client that does not read its answers or reads them by the byte, and pipelined answers gathered into one write.
//!
//! hyper's own `pipeline_flush` would withhold an answer behind half of the next request and buffer
//! answers without bound. Here they are gathered, 64 KiB at most, until hyper asks for more input:
//! then every complete request has been answered. Between requests a third deadline runs.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Most bytes gathered before they are written.
const GATHERED_MAX: usize = 64 * 1024;
/// Most room for them that a connection keeps while it has nothing to write.
const GATHERED_KEPT: usize = 16 * 1024;
/// What a client must take within the write deadline, unless there is less: one that takes a byte
/// now and then has its end, too.
const TAKEN_MIN: usize = 16 * 1024;

/// What a connection does, shared with the service that answers on it.
#[derive(Debug)]
pub(crate) struct Phase(AtomicU8);

/// Who connects has something to ask: the first request's deadline begins at once.
impl Default for Phase {
    fn default() -> Self {
        Self(AtomicU8::new(CONNECTED))
    }
}

/// Nothing, or the last answer is complete and on its way to the socket.
const IDLE: u8 = 0;
/// Nothing has come yet.
const CONNECTED: u8 = 3;
/// The first bytes of a request have come.
const HEADERS: u8 = 1;
/// A request is being answered; what is written goes out at once.
const BUSY: u8 = 2;

impl Phase {
    /// The headers of a request are complete.
    pub(crate) fn request_started(&self) {
        self.set(BUSY);
    }

    /// Its whole answer is known; the next bytes begin another request. Never said of an answer that
    /// goes on: it is written as it comes, and what then is read is no request.
    pub(crate) fn request_answered(&self) {
        self.set(IDLE);
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A timer that runs only while something is waited for.
#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Timer {
    /// Starts the timer unless it runs already; an error once it has run out.
    fn check(&mut self, after: Duration, what: &str, cx: &mut Context<'_>) -> io::Result<()> {
        let deadline = || Instant::now() + after;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline())));
        if !self.running {
            sleep.as_mut().reset(deadline());
            self.running = true;
        }
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, what)),
            Poll::Pending => Ok(()),
        }
    }

    fn stop(&mut self) {
        self.running = false;
    }
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// From an answer to the first byte of the next request.
    pub(crate) idle: Duration,
    /// From the first byte of a request to the last one of its headers.
    pub(crate) headers: Duration,
    /// To take any part of an answer.
    pub(crate) write: Duration,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    inner: S,
    phase: Arc<Phase>,
    deadlines: Deadlines,
    idle_timer: Timer,
    header_timer: Timer,
    write_timer: Timer,
    gathered: Vec<u8>,
    /// How much of `gathered` is written.
    written: usize,
    /// Whether the inner socket may still hold what was written: one that encrypts has buffers.
    unflushed: bool,
    /// Bytes taken since the write timer started.
    taken: usize,
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(inner: S, phase: Arc<Phase>, deadlines: Deadlines) -> Self {
        Self {
            inner,
            phase,
            deadlines,
            idle_timer: Timer::default(),
            header_timer: Timer::default(),
            write_timer: Timer::default(),
            gathered: Vec::new(),
            written: 0,
            unflushed: false,
            taken: 0,
        }
    }

    /// Notes that the client has taken something; `all`: everything that there was.
    fn took(&mut self, count: usize, all: bool) {
        self.taken = self.taken.saturating_add(count);
        if all || self.taken >= TAKEN_MIN {
            self.write_timer.stop();
            self.taken = 0;
        }
    }

    /// Waits for the client to take more, unless it has taken too little for too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let what = "the client does not read";
        match self.write_timer.check(self.deadlines.write, what, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Writes everything gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            let Poll::Ready(count) = Pin::new(&mut self.inner).poll_write(cx, rest) else {
                return self.wait(cx);
            };
            let count = count?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.unflushed = true;
            self.took(count, false);
        }
        if self.gathered.capacity() > GATHERED_KEPT {
            self.gathered = Vec::new();
        }
        self.gathered.clear();
        self.written = 0;
        if self.unflushed {
            let Poll::Ready(flushed) = Pin::new(&mut self.inner).poll_flush(cx) else {
                return self.wait(cx);
            };
            flushed?;
            self.unflushed = false;
            self.took(0, true);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A client that does not take its answers may still send: only the deadline ends it. While a
        // request is being answered hyper looks for the connection's end alone, and flushes after that:
        // the answer goes along with those before it.
        if this.phase.get() != BUSY
            && let Poll::Ready(Err(error)) = this.poll_drain(cx)
        {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buffer);
        let phase = this.phase.get();
        let Deadlines { idle, headers, .. } = this.deadlines;
        let (timer, after, what) = match phase {
            IDLE => (&mut this.idle_timer, idle, "no request comes"),
            CONNECTED => (&mut this.header_timer, headers.min(idle), "nothing comes"),
            HEADERS => (&mut this.header_timer, headers, "the headers are late"),
            _ => {
                this.header_timer.stop();
                return outcome;
            }
        };
        if outcome.is_pending() {
            if let Err(error) = timer.check(after, what, cx) {
                return Poll::Ready(Err(error));
            }
        } else if phase != HEADERS && buffer.filled().len() > before {
            if phase == IDLE {
                this.idle_timer.stop();
                this.header_timer.stop();
            }
            this.phase.set(HEADERS);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if this.gathered.len().saturating_add(length) > GATHERED_MAX {
            ready!(this.poll_drain(cx))?;
            if length > GATHERED_MAX {
                let Poll::Ready(count) = Pin::new(&mut this.inner).poll_write_vectored(cx, slices)
                else {
                    return this.wait(cx);
                };
                let count = count?;
                this.unflushed = true;
                this.took(count, false);
                return Poll::Ready(Ok(count));
            }
        }
        for slice in slices {
            this.gathered.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.phase.get() == IDLE {
            // hyper reads next, or shuts down: both write what is gathered.
            return Poll::Ready(Ok(()));
        }
        this.poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        match Pin::new(&mut this.inner).poll_shutdown(cx) {
            Poll::Pending => this.wait(cx),
            ended @ Poll::Ready(_) => ended,
        }
    }
}
