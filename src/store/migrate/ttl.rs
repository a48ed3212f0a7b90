//! Expiry as a moment, not as what is left: a slow transfer must not lengthen a key's life.
//!
//! `PEXPIRETIME` tells the moment. Servers older than 7.0 (KeyDB among them) tell only what is left;
//! there the question is put between two looks at their clock, until both show the same millisecond.

use crate::store::wire::{Commands, Connection, Reply, WireError, time_us};

/// Keys between two looks at the clock.
const BRACKET: usize = 16;
/// How often a key is asked about before the last answer is taken, a millisecond off perhaps.
const ATTEMPTS: usize = 10;
/// Looks at both clocks.
const CLOCK_ROUNDS: usize = 8;

/// When a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It is not there.
    Gone,
    /// Never.
    Never,
    /// At this moment, in milliseconds since the epoch by the clock of its server.
    At(i64),
}

impl Expiry {
    /// From the reply to `PEXPIRETIME`, or to `PTTL` asked at `now_ms`.
    fn from_reply(reply: &Reply, now_ms: i64) -> Option<Self> {
        match reply.int()? {
            -2 => Some(Self::Gone),
            -1 => Some(Self::Never),
            left if left >= 0 => Some(Self::At(left.saturating_add(now_ms))),
            _ => None,
        }
    }

    /// The same moment by a clock that is `offset_ms` ahead.
    pub(crate) fn shifted(self, offset_ms: i64) -> Self {
        match self {
            // Zero would mean never, or fail.
            Self::At(ms) => Self::At(ms.saturating_add(offset_ms).max(1)),
            other => other,
        }
    }
}

/// Whether the server tells the moment itself.
pub(crate) async fn tells_moment(server: &mut Connection) -> Result<bool, WireError> {
    let mut probe = Commands::default();
    probe.push(&[b"PEXPIRETIME", super::STATE_KEY]);
    let replies = server.send(&probe).await?;
    Ok(replies.iter().all(|reply| reply.error().is_none()))
}

/// When `keys` end.
pub(crate) async fn expiries(
    server: &mut Connection,
    tells_moment: bool,
    keys: &[&[u8]],
) -> Result<Vec<Expiry>, WireError> {
    let wrong = |server: &Connection| server.answer("an expiry is no time");
    if tells_moment {
        let mut commands = Commands::default();
        for key in keys {
            push_moment(&mut commands, key);
        }
        let replies = server.send(&commands).await?;
        let moments: Option<Vec<Expiry>> = replies.iter().map(moment).collect();
        return moments.ok_or_else(|| wrong(server));
    }
    let mut found = vec![Expiry::Gone; keys.len()];
    let mut open: Vec<usize> = (0..keys.len()).collect();
    for attempt in 0..ATTEMPTS {
        let bracket = if attempt == 0 { BRACKET } else { 1 };
        let mut commands = Commands::default();
        for group in open.chunks(bracket) {
            commands.push(&[b"TIME"]);
            for at in group {
                commands.push(&[b"PTTL", keys[*at]]);
            }
            commands.push(&[b"TIME"]);
        }
        let replies = server.send(&commands).await?;
        let mut replies = replies.iter();
        let mut again = Vec::new();
        for group in open.chunks(bracket) {
            let ms = |reply: Option<&Reply>| Some(time_us(reply?)? / 1_000);
            let begin = ms(replies.next()).ok_or_else(|| wrong(server))?;
            let left: Vec<&Reply> = replies.by_ref().take(group.len()).collect();
            let end = ms(replies.next()).ok_or_else(|| wrong(server))?;
            for (at, left) in group.iter().zip(left) {
                let expiry = Expiry::from_reply(left, end).ok_or_else(|| wrong(server))?;
                found[*at] = expiry;
                if begin != end && matches!(expiry, Expiry::At(_)) {
                    again.push(*at);
                }
            }
        }
        open = again;
        if open.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Asks a server that tells it for the moment at which `key` ends.
pub(crate) fn push_moment(commands: &mut Commands, key: &[u8]) {
    commands.push(&[b"PEXPIRETIME", key]);
}

/// The reply to [`push_moment`].
pub(crate) fn moment(reply: &Reply) -> Option<Expiry> {
    Expiry::from_reply(reply, 0)
}

/// How far one clock is ahead of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    /// Milliseconds to add to the source's time; 0 when no difference can be told.
    pub(crate) ms: i64,
    /// How wrong that may be, in milliseconds.
    pub(crate) error_ms: i64,
}

/// Compares the clocks of two servers, as closely as the way between them allows.
pub(crate) async fn offset(
    source: &mut Connection,
    target: &mut Connection,
) -> Result<Offset, WireError> {
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    for _ in 0..CLOCK_ROUNDS {
        let before = source.time_us().await?;
        let there = target.time_us().await?;
        let after = source.time_us().await?;
        // A clock that was set in between would turn the bounds around.
        if before <= after {
            low = low.max(there.saturating_sub(after));
            high = high.min(there.saturating_sub(before));
        }
    }
    Ok(between(low, high))
}

/// The offset between two bounds, in microseconds.
fn between(low: i64, high: i64) -> Offset {
    if low > high || low == i64::MIN {
        return Offset { ms: 0, error_ms: 0 };
    }
    // Up to a millisecond is told apart from none by nobody who counts in milliseconds.
    let ms = if low - 1_000 <= 0 && 0 <= high + 1_000 {
        0
    } else {
        low.midpoint(high).div_euclid(1_000)
    };
    let error_ms = (high - low) / 2_000 + 1;
    Offset { ms, error_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_may_agree_agree() {
        assert_eq!(between(-300, 500).ms, 0);
        assert_eq!(between(400, 900).ms, 0);
        assert_eq!(between(59_999_000, 60_001_000).ms, 60_000);
        assert_eq!(between(-60_001_000, -59_999_000).ms, -60_000);
        assert_eq!(between(-60_001_000, -59_999_000).error_ms, 2);
        assert_eq!(between(i64::MIN, i64::MAX).ms, 0);
    }

    #[test]
    fn a_moment_stays_one() {
        assert_eq!(moment(&Reply::Int(-1)), Some(Expiry::Never));
        assert_eq!(moment(&Reply::Int(-2)), Some(Expiry::Gone));
        assert_eq!(moment(&Reply::Int(-3)), None);
        assert_eq!(moment(&Reply::Nil), None);
        assert_eq!(
            Expiry::from_reply(&Reply::Int(5), 100),
            Some(Expiry::At(105))
        );
        assert_eq!(Expiry::At(5).shifted(-10), Expiry::At(1));
        assert_eq!(Expiry::Never.shifted(-10), Expiry::Never);
    }
}
