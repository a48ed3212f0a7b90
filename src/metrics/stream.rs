//! Metrics of streams: handles made once.

use metrics::{Counter, Gauge, counter, gauge};

/// Kinds of streams.
const KINDS: [&str; 2] = ["ws", "sse"];

/// Why a client was disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// It could not keep up with changes of orders.
    Slow,
    /// Changes of orders were lost on their way to it.
    Missing,
    /// It did not read what was sent.
    Unread,
    /// It answered no ping.
    Silent,
    /// It broke the protocol.
    Protocol,
    /// It asked for too much.
    Flood,
    /// It had no token, or one that holds no longer.
    Token,
}

impl StreamEnd {
    const ALL: [Self; 7] = [
        Self::Slow,
        Self::Missing,
        Self::Unread,
        Self::Silent,
        Self::Protocol,
        Self::Flood,
        Self::Token,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Missing => "missing",
            Self::Unread => "unread",
            Self::Silent => "silent",
            Self::Protocol => "protocol",
            Self::Flood => "flood",
            Self::Token => "token",
        }
    }
}

/// Handles of the metrics of streams.
pub(crate) struct StreamMetrics {
    /// One per row of [`KINDS`].
    clients: [Gauge; 2],
    messages: [Counter; 2],
    /// One per row of [`StreamEnd::ALL`].
    dropped: [Counter; 7],
}

/// A client; counted until it is dropped.
pub(crate) struct StreamClient(Gauge);

impl Drop for StreamClient {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl StreamMetrics {
    /// Handles of the installed recorder.
    pub(crate) fn new() -> Self {
        Self {
            clients: KINDS.map(|kind| gauge!("hean_http_stream_clients", "kind" => kind)),
            messages: KINDS.map(|kind| counter!("hean_http_stream_messages_total", "kind" => kind)),
            dropped: StreamEnd::ALL
                .map(|end| counter!("hean_http_stream_dropped_total", "reason" => end.name())),
        }
    }

    /// Counts a client for as long as the result lives.
    pub(crate) fn client(&self, kind: &str) -> StreamClient {
        let gauge = &self.clients[usize::from(kind != KINDS[0])];
        gauge.increment(1.0);
        StreamClient(gauge.clone())
    }

    /// Counts messages that were sent.
    pub(crate) fn sent(&self, kind: &str, count: usize) {
        self.messages[usize::from(kind != KINDS[0])].increment(count as u64);
    }

    /// Counts a client that was disconnected.
    pub(crate) fn dropped(&self, why: StreamEnd) {
        let row = StreamEnd::ALL.iter().position(|end| *end == why);
        self.dropped[row.unwrap_or_default()].increment(1);
    }
}

impl std::fmt::Debug for StreamMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMetrics").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StreamClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamClient").finish_non_exhaustive()
    }
}
