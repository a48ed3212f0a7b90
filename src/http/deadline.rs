//! Deadlines on a socket that hyper does not have: a request whose headers trickle in, and a client
//! that does not read its answer. hyper's own header timeout covers the time between requests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection does, as far as deadlines go.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

const IDLE: u8 = 0;
const HEADERS: u8 = 1;
const BUSY: u8 = 2;

impl Phase {
    /// The headers of a request are complete.
    pub(crate) fn request_started(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// Its answer is on the way; the next bytes begin another request.
    pub(crate) fn request_answered(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A timer that runs only while it is waited for.
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

/// A socket with deadlines.
#[derive(Debug)]
pub(crate) struct Deadlined<S> {
    socket: S,
    phase: Arc<Phase>,
    header_timeout: Duration,
    write_timeout: Duration,
    header_timer: Timer,
    write_timer: Timer,
}

impl<S> Deadlined<S> {
    pub(crate) fn new(
        socket: S,
        phase: Arc<Phase>,
        header_timeout: Duration,
        write_timeout: Duration,
    ) -> Self {
        Self {
            socket,
            phase,
            header_timeout,
            write_timeout,
            header_timer: Timer::default(),
            write_timer: Timer::default(),
        }
    }

    /// Passes the outcome of a write on, unless the socket has been full for too long.
    fn after_write<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_timer.stop();
            return outcome;
        }
        match self
            .write_timer
            .check(self.write_timeout, "the client does not read", cx)
        {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadlined<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buffer.filled().len();
        let outcome = Pin::new(&mut this.socket).poll_read(cx, buffer);
        let phase = this.phase.0.load(Ordering::Relaxed);
        if outcome.is_ready() {
            if phase == IDLE && buffer.filled().len() > filled {
                this.phase.0.store(HEADERS, Ordering::Relaxed);
            }
            if phase != HEADERS {
                this.header_timer.stop();
            }
            return outcome;
        }
        if phase != HEADERS {
            this.header_timer.stop();
            return Poll::Pending;
        }
        match this
            .header_timer
            .check(this.header_timeout, "the headers are late", cx)
        {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadlined<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.after_write(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.after_write(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
