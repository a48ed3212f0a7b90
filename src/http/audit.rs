//! The audit log: a line of JSON in `audit.jsonl` for every call that changes something, with who
//! called and what came of it.
//!
//! A place in the bounded queue is taken before the call is carried out, so a call that cannot be
//! written down is refused instead; calls that only take risk away go on without, counted as lost.
//! Whatever happens to a call on its way, dropping its ticket writes the line. No body and no token
//! is in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use metrics::counter;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use tokio::sync::mpsc::{self, OwnedPermit, error::TrySendError};

use super::access::Caller;
use super::problem::{Code, Problem};
use super::reply::{Content, Reply};
use super::tokens::hex;
use crate::json::Json;
use crate::kernel::types::Time;

/// Lines that may wait for the disk.
const QUEUE: usize = 1_024;
/// Lines that are written at once.
const BATCH: usize = 256;
/// A file ends at this size, in bytes …
const FILE_BYTES: u64 = 16 << 20;
/// … and so many old ones are kept.
const OLD_FILES: u32 = 7;
/// How long a line may be written and not on the disk.
const SYNC: Duration = Duration::from_secs(5);
/// Longest path and query that are kept, in bytes.
const TARGET_MAX: usize = 256;

/// What a call was.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) time: Time,
    pub(crate) caller: Caller,
    pub(crate) peer: SocketAddr,
    pub(crate) method: String,
    pub(crate) route: &'static str,
    pub(crate) target: String,
    pub(crate) body_sha256: Option<String>,
    pub(crate) client_order_id: Option<String>,
    pub(crate) order_id: Option<String>,
    /// `None`: the caller was gone before the answer.
    pub(crate) status: Option<StatusCode>,
    pub(crate) code: Option<String>,
}

/// The members of bodies and answers that a line repeats.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Known {
    order_id: Option<String>,
    client_order_id: Option<String>,
    code: Option<String>,
}

impl Entry {
    /// Notes the body; what is no JSON object has no id.
    pub(crate) fn body(&mut self, body: &[u8]) {
        let known: Known = serde_json::from_slice(body).unwrap_or_default();
        self.body_sha256 = Some(hex(digest(&SHA256, body).as_ref()));
        let fits = |id: &String| id.len() <= 64;
        self.client_order_id = known.client_order_id.filter(fits);
    }

    fn answer(&mut self, reply: &Reply) {
        self.status = Some(reply.status);
        if let Content::Whole(body) = &reply.body {
            let known: Known = serde_json::from_slice(body).unwrap_or_default();
            self.order_id = known.order_id;
            self.code = known.code;
        }
    }

    fn line(&self) -> Vec<u8> {
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("time").int(self.time.millis());
            j.key("caller").text_or_null(self.caller.name());
            j.key("peer").text(&self.peer.to_string());
            j.key("method").text(&self.method);
            j.key("route").text(self.route);
            j.key("target").text(&self.target);
            for (name, value) in [
                ("client_order_id", &self.client_order_id),
                ("order_id", &self.order_id),
                ("body_sha256", &self.body_sha256),
                ("code", &self.code),
            ] {
                if value.is_some() {
                    j.key(name).text_or_null(value.as_deref());
                }
            }
            match self.status {
                Some(status) => j.key("status").int(status.as_u16()),
                None => j.key("status").null(),
            }
        });
        let mut line = json.into_bytes();
        line.push(b'\n');
        line
    }

    fn tell(&self) {
        tracing::info!(
            target: "hean::audit",
            caller = self.caller.name(),
            peer = %self.peer,
            status = self.status.map(|s| s.as_u16()),
            code = self.code,
            order_id = self.order_id,
            client_order_id = self.client_order_id,
            "{} {}",
            self.method,
            self.target
        );
    }
}

/// The way to the log.
#[derive(Debug, Clone)]
pub(crate) struct Audit(Option<mpsc::Sender<Entry>>);

impl Audit {
    /// The log of a data directory, and what writes it. Without one nothing is kept.
    pub(crate) fn new(data_dir: Option<&Path>) -> (Self, Option<AuditWriter>) {
        let Some(dir) = data_dir else {
            return (Self(None), None);
        };
        let (sender, entries) = mpsc::channel(QUEUE);
        let writer = AuditWriter {
            entries,
            files: Files {
                dir: dir.to_owned(),
                current: None,
                file_bytes: FILE_BYTES,
            },
        };
        (Self(Some(sender)), Some(writer))
    }

    /// A place for a call's line; `must_pass` calls go on without.
    pub(crate) fn begin(&self, entry: Entry, must_pass: bool) -> Result<Ticket, Box<Problem>> {
        let Some(sender) = &self.0 else {
            return Ok(Ticket {
                place: Place::Nowhere,
                entry,
            });
        };
        let place = match sender.clone().try_reserve_owned() {
            Ok(permit) => Place::Queue(permit),
            Err(_) if must_pass => Place::Lost,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                return Err(Problem::new(
                    Code::Busy,
                    "the audit log cannot be written, and nothing new is done without it",
                )
                .hint("look for a disk that hangs or is full; cancelling and halting go on")
                .header(RETRY_AFTER, HeaderValue::from(1)));
            }
        };
        Ok(Ticket { place, entry })
    }
}

#[derive(Debug)]
enum Place {
    Queue(OwnedPermit<Entry>),
    /// There was none, and the call went on.
    Lost,
    /// No log is kept, or the line is on its way.
    Nowhere,
}

/// A call that will be in the log, whatever becomes of it.
#[derive(Debug)]
pub(crate) struct Ticket {
    place: Place,
    pub(crate) entry: Entry,
}

impl Ticket {
    /// The call was answered.
    pub(crate) fn answered(mut self, reply: &Reply) {
        if !matches!(self.place, Place::Nowhere) {
            self.entry.answer(reply);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Queue(permit) => drop(permit.send(self.entry.clone())),
            Place::Lost => {
                lost(1);
                self.entry.tell();
            }
            Place::Nowhere => {}
        }
    }
}

fn lost(count: u64) {
    counter!("hean_audit_lost_total").increment(count);
}

/// Writes the lines. Ends when nobody is left who could send one.
#[derive(Debug)]
pub struct AuditWriter {
    entries: mpsc::Receiver<Entry>,
    files: Files,
}

impl AuditWriter {
    /// Runs until the last caller is gone.
    pub async fn run(mut self) -> Result<(), String> {
        let mut files = self.files;
        let mut batch = Vec::with_capacity(BATCH);
        let mut synced = true;
        let mut failing = false;
        loop {
            let more = if synced {
                self.entries.recv_many(&mut batch, BATCH).await
            } else {
                match tokio::time::timeout(SYNC, self.entries.recv_many(&mut batch, BATCH)).await {
                    Ok(more) => more,
                    Err(_) => usize::MAX,
                }
            };
            let sync = more == 0 || more == usize::MAX;
            let lines: Vec<u8> = batch.iter().flat_map(Entry::line).collect();
            for entry in &batch {
                entry.tell();
            }
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            batch.clear();
            // Disks may hang; the threads of the runtime must not.
            let work = tokio::task::spawn_blocking(move || {
                let done = files
                    .append(&lines)
                    .and_then(|()| if sync { files.sync() } else { Ok(()) });
                (files, done)
            });
            let done;
            (files, done) = work.await.map_err(|error| error.to_string())?;
            synced = sync || done.is_err();
            if let Err(error) = done {
                lost(count);
                files.current = None;
                if !failing {
                    tracing::error!(%error, "the audit log cannot be written; its lines are here alone");
                }
                failing = true;
            } else if count > 0 && std::mem::take(&mut failing) {
                tracing::info!("the audit log is written again");
            }
            if more == 0 {
                return Ok(());
            }
        }
    }
}

/// The files of the log.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    /// The one that is written, and its size.
    current: Option<(File, u64)>,
    file_bytes: u64,
}

impl Files {
    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(match number {
            0 => "audit.jsonl".to_owned(),
            n => format!("audit.{n}.jsonl"),
        })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let (mut file, size) = match self.current.take() {
            Some(current) => current,
            None => self.open()?,
        };
        file.write_all(lines)?;
        let size = size.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        if size < self.file_bytes {
            self.current = Some((file, size));
            return Ok(());
        }
        file.sync_data()?;
        for number in (0..OLD_FILES).rev() {
            match std::fs::rename(self.path(number), self.path(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&self) -> io::Result<(File, u64)> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.path(0))?;
        let mut size = file.seek(SeekFrom::End(0))?;
        if size > 0 {
            file.seek(SeekFrom::Current(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            // A crash has cut the last line: the next one begins on its own.
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        Ok((file, size))
    }

    fn sync(&mut self) -> io::Result<()> {
        match &self.current {
            Some((file, _)) => file.sync_data(),
            None => Ok(()),
        }
    }
}

/// A path and query as they are kept.
pub(crate) fn target(uri: &hyper::Uri) -> String {
    let target = uri.path_and_query().map_or("", |t| t.as_str());
    let end = target.floor_char_boundary(TARGET_MAX);
    target[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i64) -> Entry {
        Entry {
            time: Time::from_millis(number).expect("in range"),
            caller: Caller::ANYBODY,
            peer: "127.0.0.1:9".parse().expect("address"),
            method: "POST".to_owned(),
            route: "/api/v1/orders",
            target: "/api/v1/orders?wait=journal".to_owned(),
            body_sha256: None,
            client_order_id: None,
            order_id: None,
            status: None,
            code: None,
        }
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).expect("a file");
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON in each line")
    }

    #[tokio::test]
    async fn every_ticket_is_a_line_answered_or_not() {
        let dir = tempfile::tempdir().expect("directory");
        let (audit, writer) = Audit::new(Some(dir.path()));
        let mut first = audit.begin(entry(1), false).expect("room");
        first
            .entry
            .body(br#"{"symbol":"X","client_order_id":"mine"}"#);
        let mut json = Json::new(false);
        json.object(|j| j.key("order_id").text("7"));
        first.answered(&Reply::json(json).status(StatusCode::CREATED));
        drop(audit.begin(entry(2), false).expect("room"));
        drop(audit);
        writer.expect("a log").run().await.expect("written");
        let lines = lines(&dir.path().join("audit.jsonl"));
        let [first, second] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!(first["status"], 201);
        assert_eq!(first["order_id"], "7");
        assert_eq!(first["client_order_id"], "mine");
        assert_eq!(
            first["body_sha256"],
            hex(digest(&SHA256, br#"{"symbol":"X","client_order_id":"mine"}"#).as_ref())
        );
        assert!(second["status"].is_null() && second["caller"].is_null());
        assert_eq!(second["time"], 2);
    }

    #[test]
    fn a_full_queue_refuses_what_adds_and_lets_the_rest_pass() {
        let dir = tempfile::tempdir().expect("directory");
        let (audit, _writer) = Audit::new(Some(dir.path()));
        let held: Vec<_> = (0..QUEUE)
            .map(|_| audit.begin(entry(1), false).expect("room"))
            .collect();
        let refused = audit.begin(entry(1), false).expect_err("full").into_reply();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(audit.begin(entry(1), true).is_ok());
        drop(held);
        // The places are used now: nothing takes lines out.
        assert!(audit.begin(entry(1), false).is_err());
    }

    #[test]
    fn files_are_bounded_in_size_and_number_and_begin_on_a_line() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("audit.jsonl");
        std::fs::write(&path, "{\"cut").expect("write");
        let mut files = Files {
            dir: dir.path().to_owned(),
            current: None,
            file_bytes: 1_000,
        };
        files.append(&entry(0).line()).expect("written");
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(text.starts_with("{\"cut\n{\"time\":0,"), "{text}");
        for number in 1..100 {
            files.append(&entry(number).line()).expect("written");
        }
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .expect("directory")
            .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names.len(), 1 + 7, "{names:?}");
        let newest = lines(&dir.path().join("audit.1.jsonl"));
        let oldest = lines(&dir.path().join("audit.7.jsonl"));
        assert!(oldest[0]["time"].as_i64() < newest[0]["time"].as_i64());
        for number in 1..=7 {
            let size = std::fs::metadata(files.path(number)).expect("file").len();
            assert!((1_000..1_300).contains(&size), "{size}");
        }
    }
}
