//! Events as entries of systemd's journal, with their fields: `journalctl -u hean HEAN_STRATEGY=macd`.
//!
//! The protocol is systemd's (journal-native-protocol.7): one datagram an entry, fields one after the other.
//! Entries are bounded, so that they fit into one. What the journal does not take goes to stderr, which
//! systemd reads as well: no event is lost.

use std::fmt::Debug;
use std::io::{self, Write as _, stderr};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// What distinguishes fields of events from those that the journal knows itself.
const PREFIX: &str = "HEAN_";
/// The journal takes no longer names.
const NAME_MAX: usize = 64;
/// Bytes of a field's value; an event has 32 fields at most.
const VALUE_MAX: usize = 4_096;
/// Bytes of the message, which tells the fields as well.
const MESSAGE_MAX: usize = 32 * 1_024;

/// Sends events to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// The journal, if that is where systemd has connected stderr to, and if it can be reached.
    pub(super) fn behind_stderr() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stat = rustix::fs::fstat(stderr()).ok()?;
        // A shell started by the service may have sent stderr elsewhere and kept the variable.
        if stream != format!("{}:{}", stat.st_dev, stat.st_ino) {
            return None;
        }
        Self::connect(Path::new(SOCKET)).ok()
    }

    fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = Entry::of(event);
        if self.socket.send(&entry.bytes()).is_err() {
            // Nothing is left to try when that fails, too.
            drop(writeln!(
                stderr(),
                "<{}>{}",
                entry.priority(),
                entry.message()
            ));
        }
    }
}

/// An event, taken apart.
struct Entry<'a> {
    event: &'a Event<'a>,
    fields: Fields,
}

#[derive(Default)]
struct Fields {
    message: String,
    /// Name and value as the journal gets them.
    named: Vec<(String, String)>,
    /// All but the message, for people.
    told: String,
}

impl<'a> Entry<'a> {
    fn of(event: &'a Event<'a>) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        Self { event, fields }
    }

    /// As in syslog(3): error, warning, informational, debug.
    fn priority(&self) -> u8 {
        match *self.event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        }
    }

    /// `journalctl` shows nothing else, so the fields are in it.
    fn message(&self) -> String {
        let Fields { message, told, .. } = &self.fields;
        cut(&format!("{message}{told}"), MESSAGE_MAX).to_owned()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let meta = self.event.metadata();
        put(&mut bytes, "MESSAGE", &self.message());
        put(&mut bytes, "PRIORITY", &self.priority().to_string());
        put(&mut bytes, "SYSLOG_IDENTIFIER", "hean");
        put(&mut bytes, "TARGET", meta.target());
        if let (Some(file), Some(line)) = (meta.file(), meta.line()) {
            put(&mut bytes, "CODE_FILE", file);
            put(&mut bytes, "CODE_LINE", &line.to_string());
        }
        for (name, value) in &self.fields.named {
            put(&mut bytes, name, cut(value, VALUE_MAX));
        }
        bytes
    }
}

impl Fields {
    fn add(&mut self, field: &Field, value: String, told: &str) {
        if field.name() == "message" {
            self.message = value;
            return;
        }
        self.told.extend([" ", field.name(), "=", told]);
        let upper = field.name().chars().map(|c| {
            let c = c.to_ascii_uppercase();
            if c.is_ascii_alphanumeric() { c } else { '_' }
        });
        let name = PREFIX.chars().chain(upper).take(NAME_MAX).collect();
        self.named.push((name, value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned(), &format!("{value:?}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        let told = value.clone();
        self.add(field, value, &told);
    }
}

/// A field: in a line of its own, or behind its length if it has several lines.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

/// The beginning of a text, of whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = text.floor_char_boundary(bytes_max);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// An entry read as the journal reads it.
    fn parse(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|b| *b == b'\n').expect("a line");
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            let (name, value) = if let Some(equals) = line.iter().position(|b| *b == b'=') {
                bytes = rest;
                (&line[..equals], &line[equals + 1..])
            } else {
                let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes"));
                let end = 8 + usize::try_from(length).expect("a length");
                assert_eq!(rest[end], b'\n');
                bytes = &rest[end + 1..];
                (line, &rest[8..end])
            };
            let before = fields.insert(text(name), text(value));
            assert_eq!(before, None, "twice: {}", text(name));
        }
        fields
    }

    /// What the journal gets of what `log` logs.
    fn entries(log: impl FnOnce()) -> Vec<BTreeMap<String, String>> {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("socket");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let journal = Journal::connect(&path).expect("a connection");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), log);
        socket.set_nonblocking(true).expect("a socket");
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length) = socket.recv(&mut buffer) {
            all.push(parse(&buffer[..length]));
        }
        all
    }

    #[test]
    fn an_event_is_an_entry_with_its_fields() {
        let all = entries(|| {
            let reason = Some(7);
            tracing::warn!(
                strategy = "ema_cross",
                seq = 12,
                ok = true,
                ?reason,
                "an {} word",
                "honest"
            );
            tracing::error!(target: "elsewhere", { venue.name = %"a\nb=c" }, "two\nlines");
        });
        let [first, second] = &all[..] else {
            panic!("{all:?}");
        };
        for (name, value) in [
            (
                "MESSAGE",
                r#"an honest word strategy="ema_cross" seq=12 ok=true reason=Some(7)"#,
            ),
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "hean"),
            ("TARGET", module_path!()),
            ("CODE_FILE", file!()),
            ("HEAN_STRATEGY", "ema_cross"),
            ("HEAN_SEQ", "12"),
            ("HEAN_OK", "true"),
            ("HEAN_REASON", "Some(7)"),
        ] {
            assert_eq!(first.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(
            first["CODE_LINE"].parse::<u32>().is_ok_and(|n| n > 0),
            "{first:?}"
        );
        assert_eq!(first.len(), 10, "{first:?}");
        // What a venue says can bring no field of its own.
        assert_eq!(second["MESSAGE"], "two\nlines venue.name=a\nb=c");
        assert_eq!(second["HEAN_VENUE_NAME"], "a\nb=c");
        assert_eq!(second["PRIORITY"], "3");
        assert_eq!(second["TARGET"], "elsewhere");
        assert_eq!(second.len(), 7, "{second:?}");
    }

    #[test]
    fn levels_are_priorities() {
        let all = entries(|| {
            tracing::error!("");
            tracing::warn!("");
            tracing::info!("");
            tracing::debug!("");
            tracing::trace!("");
        });
        let priorities: Vec<&str> = all.iter().map(|e| e["PRIORITY"].as_str()).collect();
        assert_eq!(priorities, ["3", "4", "6", "7", "7"]);
    }

    #[test]
    fn the_longest_entry_fits_into_a_datagram() {
        let long = "ä".repeat(100_000);
        let text = long.as_str();
        let all = entries(|| {
            tracing::info!(
                a = text,
                b = text,
                c = text,
                d = text,
                e = text,
                f = text,
                g = text,
                h = text,
                i = text,
                j = text,
                k = text,
                l = text,
                m = text,
                n = text,
                o = text,
                p = text,
                q = text,
                r = text,
                s = text,
                t = text,
                u = text,
                v = text,
                w = text,
                x = text,
                y = text,
                z = text,
                "{text}"
            );
        });
        assert_eq!(all.len(), 1);
        assert_eq!(all[0]["MESSAGE"].len(), MESSAGE_MAX);
        assert_eq!(all[0]["HEAN_Z"].len(), VALUE_MAX);
        assert_eq!(all[0].len(), 6 + 26);
    }

    #[test]
    fn names_are_what_the_journal_takes() {
        let all = entries(|| {
            tracing::info!(
                a_name_that_is_a_good_deal_longer_than_all_that_anybody_would_write_for_this = 1,
                "x"
            );
        });
        let longest = all[0].keys().map(String::len).max();
        assert_eq!(longest, Some(NAME_MAX));
    }
}
