//! What a person sees meanwhile, on stderr: a bar on a terminal, lines where something happens.

use std::io::{IsTerminal as _, Write as _};

use crate::kernel::types::{MILLISECOND, SECOND, Time};
use crate::runtime::clock::Clock;

/// Time between two drawings, in nanoseconds.
const EVERY_NS: i64 = 100 * MILLISECOND;
/// Characters of the bar.
const WIDTH: u64 = 30;

/// The bar and the lines.
#[derive(Debug)]
pub struct Progress {
    clock: Clock,
    bar: bool,
    colour: bool,
    began: Time,
    drawn: Time,
    shown: bool,
    unit: &'static str,
}

impl Progress {
    /// A bar if stderr is a terminal, in colour unless `NO_COLOR` says otherwise.
    pub fn of_process() -> Self {
        Self::counting("keys")
    }

    /// The same, of something else than keys.
    pub(crate) fn counting(unit: &'static str) -> Self {
        let clock = Clock::start();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            bar: std::io::stderr().is_terminal(),
            colour: !no_colour,
            began: clock.now(),
            drawn: Time(0),
            shown: false,
            unit,
            clock,
        }
    }

    /// Seconds since the beginning.
    pub(crate) fn seconds(&self) -> f64 {
        self.clock.now().since(self.began) as f64 / SECOND as f64
    }

    /// Shows how far it is, now and then.
    pub(crate) fn show(&mut self, what: &str, done: u64, total: u64) {
        let now = self.clock.now();
        if self.bar && now.since(self.drawn) >= EVERY_NS {
            self.drawn = now;
            self.shown = true;
            let text = bar((what, self.unit), done, total, self.seconds(), self.colour);
            drop(write!(std::io::stderr(), "\r\x1b[K{text}"));
        }
    }

    /// Says something that stays.
    pub(crate) fn say(&mut self, text: &str) {
        self.clear();
        drop(writeln!(std::io::stderr(), "{text}"));
    }

    /// Takes the bar away.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            self.shown = false;
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar((what, unit): (&str, &str), done: u64, total: u64, seconds: f64, colour: bool) -> String {
    let total = total.max(done).max(1);
    let full = usize::try_from(done * WIDTH / total).unwrap_or(0);
    let empty = usize::try_from(WIDTH).unwrap_or(0) - full;
    let (on, off) = if colour {
        ("\x1b[32m", "\x1b[0m")
    } else {
        ("", "")
    };
    let rate = done as f64 / seconds.max(0.001);
    let left = (total - done) as f64 / rate.max(0.001);
    format!(
        "{what} {on}{}{off}{} {:>3} %  {done} of {total} {unit}, {rate:.0}/s, {left:.0} s left",
        "#".repeat(full),
        "-".repeat(empty),
        done * 100 / total,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_share_rate_and_what_is_left() {
        let text = bar(("copy", "keys"), 250, 1_000, 2.0, false);
        assert_eq!(
            text,
            "copy #######-----------------------  25 %  250 of 1000 keys, 125/s, 6 s left"
        );
        assert!(bar(("copy", "keys"), 1, 2, 1.0, true).contains("\x1b[32m"));
        // A pattern, or keys that came meanwhile.
        assert!(bar(("copy", "keys"), 7, 0, 1.0, false).contains("100 %"));
    }
}
