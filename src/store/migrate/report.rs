//! What a migration or a comparison came to, as text and as JSON.

use std::fmt::Write as _;

use super::compare::{Difference, What};
use super::pair::{Failure, Tally};
use crate::cli::Exit;
use crate::json::Json;

/// Why a key that never held still was not copied.
const BUSY: &str = "it changed whenever it was read: stop its writers and run this again with --overwrite, or use --live";

/// What a migration did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Keys that went as `DUMP` makes them; keys that were copied again count again.
    pub by_dump: u64,
    /// Keys that went by the commands of their type.
    pub by_type: u64,
    /// Those of them that went in pieces.
    pub in_pieces: u64,
    /// Keys that an earlier attempt had brought.
    pub resumed: u64,
    /// Keys that ended before they were read.
    pub gone: u64,
    /// Bytes of values.
    pub bytes: u64,
    /// Keys that were not copied.
    pub failed: u64,
    /// The first of those.
    pub failures: Vec<Failure>,
    /// Changes that were heard of; `None` unless it followed them.
    pub changes: Option<u64>,
    /// Keys that the last comparison looked at.
    pub compared: u64,
    /// Keys that comparisons found different and that were copied again.
    pub mended: u64,
    /// What the last comparison found.
    pub(crate) unsettled: u64,
    /// Seconds from beginning to end.
    pub seconds: f64,
}

impl Report {
    pub(crate) fn take(&mut self, mut tally: Tally) {
        for (db, key) in std::mem::take(&mut tally.busy) {
            tally.fail(db, &key, BUSY);
        }
        self.by_dump = tally.by_dump;
        self.by_type = tally.by_type;
        self.in_pieces = tally.in_pieces;
        self.gone = tally.gone;
        self.bytes = tally.bytes;
        self.failed = tally.failed;
        self.failures = tally.failures;
    }

    /// Keys that were copied by this attempt.
    pub fn copied(&self) -> u64 {
        self.by_dump + self.by_type
    }

    /// How the process ends on it.
    pub const fn exit(&self) -> Exit {
        if self.failed == 0 {
            Exit::Ok
        } else {
            Exit::Failure
        }
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let copied = self.copied();
        let rate = copied as f64 / self.seconds.max(0.001);
        let mut out = format!(
            "{copied} keys copied in {:.1} s ({rate:.0}/s, {} bytes): {} by DUMP, {} by type, {} of these in pieces",
            self.seconds, self.bytes, self.by_dump, self.by_type, self.in_pieces
        );
        if self.resumed > 0 {
            push(
                &mut out,
                format_args!("; {} were there from an earlier attempt", self.resumed),
            );
        }
        if let Some(changes) = self.changes {
            push(
                &mut out,
                format_args!(
                    "; {changes} changes followed, {} keys compared at the end, {} of them copied again",
                    self.compared, self.mended
                ),
            );
        }
        if self.failed > 0 {
            push(
                &mut out,
                format_args!("\n{} keys were not copied:", self.failed),
            );
            for failure in &self.failures {
                let (db, key) = (failure.db, failure.key.escape_ascii());
                push(&mut out, format_args!("\n  {db} {key}: {}", failure.why));
            }
        }
        out
    }

    /// For programs.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("ok").bool(self.failed == 0);
            j.key("keys").int(self.copied());
            j.key("by_dump").int(self.by_dump);
            j.key("by_type").int(self.by_type);
            j.key("in_pieces").int(self.in_pieces);
            j.key("resumed").int(self.resumed);
            j.key("gone").int(self.gone);
            j.key("bytes").int(self.bytes);
            if let Some(changes) = self.changes {
                j.key("changes").int(changes);
                j.key("compared").int(self.compared);
                j.key("mended").int(self.mended);
            }
            j.key("seconds").float(self.seconds);
            j.key("failed").int(self.failed);
            j.key("failures").array(|j| {
                for failure in &self.failures {
                    j.object(|j| {
                        j.key("db").int(failure.db);
                        j.key("key").text(&failure.key.escape_ascii().to_string());
                        j.key("why").text(&failure.why);
                    });
                }
            });
        });
        json.into_bytes()
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Keys of the source that were looked at.
    pub keys: u64,
    /// Keys that the target lacks.
    pub missing: u64,
    /// Keys that the source lacks.
    pub extra: u64,
    /// Keys with other values.
    pub values: u64,
    /// Keys that end at another time.
    pub expiries: u64,
    /// The first differences.
    pub listed: Vec<Difference>,
    /// Seconds from beginning to end.
    pub seconds: f64,
}

impl Verdict {
    pub(crate) fn add(&mut self, difference: Difference, listed_max: usize) {
        match difference.what {
            What::Missing => self.missing += 1,
            What::Extra => self.extra += 1,
            What::Value(_) => self.values += 1,
            What::Expiry(_) => self.expiries += 1,
        }
        if self.listed.len() < listed_max {
            self.listed.push(difference);
        }
    }

    /// Keys that differ.
    pub fn differences(&self) -> u64 {
        self.missing + self.extra + self.values + self.expiries
    }

    /// How the process ends on it.
    pub fn exit(&self) -> Exit {
        if self.differences() == 0 {
            Exit::Ok
        } else {
            Exit::Failure
        }
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for difference in &self.listed {
            let (db, key) = (difference.db, difference.key.escape_ascii());
            match &difference.what {
                What::Missing => push(
                    &mut out,
                    format_args!("{db} {key}: missing at the target\n"),
                ),
                What::Extra => push(&mut out, format_args!("{db} {key}: only at the target\n")),
                What::Value(why) => push(&mut out, format_args!("{db} {key}: differs: {why}\n")),
                What::Expiry(why) => push(&mut out, format_args!("{db} {key}: {why}\n")),
            }
        }
        let all = self.differences();
        let more = all.saturating_sub(self.listed.len() as u64);
        if more > 0 {
            push(&mut out, format_args!("and {more} more\n"));
        }
        let (keys, seconds) = (self.keys, self.seconds);
        if all == 0 {
            push(
                &mut out,
                format_args!("the same: {keys} keys compared in {seconds:.1} s"),
            );
        } else {
            let (missing, extra, values, ends) =
                (self.missing, self.extra, self.values, self.expiries);
            push(
                &mut out,
                format_args!(
                    "different: {keys} keys compared in {seconds:.1} s; {missing} missing, {extra} only at \
                     the target, {values} with other values, {ends} with another end"
                ),
            );
        }
        out
    }

    /// For programs.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("same").bool(self.differences() == 0);
            j.key("keys").int(self.keys);
            j.key("missing").int(self.missing);
            j.key("extra").int(self.extra);
            j.key("values").int(self.values);
            j.key("expiries").int(self.expiries);
            j.key("seconds").float(self.seconds);
            j.key("differences").array(|j| {
                for difference in &self.listed {
                    let why = match &difference.what {
                        What::Missing | What::Extra => None,
                        What::Value(why) | What::Expiry(why) => Some(why.as_str()),
                    };
                    j.object(|j| {
                        j.key("db").int(difference.db);
                        j.key("key")
                            .text(&difference.key.escape_ascii().to_string());
                        j.key("what").text(difference.what.name());
                        j.key("why").text_or_null(why);
                    });
                }
            });
        });
        json.into_bytes()
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String cannot fail");
}
