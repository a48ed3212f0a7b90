//! Processes of the real binary: started with an environment of their own, awaited without sleeps by
//! guess, killed when their guard goes out of scope.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use hean::runtime::clock::Clock;
use parking_lot::Mutex;

/// The binary under test.
pub(crate) const HEAN: &str = env!("CARGO_BIN_EXE_hean");

/// What never comes is given up after this. Nothing is measured by it.
pub(crate) const HUNG: Duration = Duration::from_mins(1);

/// The one pause of these tests: between two looks at another process.
pub(crate) fn pause(length: Duration) {
    let (_open, nothing) = mpsc::channel::<()>();
    assert!(nothing.recv_timeout(length).is_err(), "nobody sends");
}

/// Looks until there is something to see; panics with `what` when that takes longer than `limit`.
pub(crate) fn until_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let clock = Clock::start();
    let limit_ns = i64::try_from(limit.as_nanos()).expect("a limit of less than a life");
    let start = clock.now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(clock.now().since(start) < limit_ns, "never came: {what}");
        pause(Duration::from_millis(5));
    }
}

/// [`until_within`] the usual limit.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(HUNG, what, look)
}

/// The binary, with nothing of this machine's configuration.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HEAN_CONFIG", "/dev/null")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn output(args: &[&str]) -> Output {
    command(HEAN).args(args).output().expect("the binary runs")
}

/// The standard output of a run that must succeed.
pub(crate) fn stdout(args: &[&str]) -> String {
    let output = output(args);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {log}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A server of ours. Dropping the guard kills it.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    addr: Option<SocketAddr>,
}

impl Process {
    /// Starts the binary; returns at once.
    pub(crate) fn spawn(args: &[&str]) -> Self {
        let mut command = command(HEAN);
        command.args(args);
        Self::run(&mut command)
    }

    /// Starts a prepared command; returns at once.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let err = child.stderr.take().expect("stderr");
        let to = Arc::clone(&log);
        let reader = std::thread::spawn(move || collect(err, &to));
        Self {
            child,
            log,
            readers: vec![reader],
            addr: None,
        }
    }

    /// Starts a server; returns when it says where it listens.
    pub(crate) fn serve(args: &[&str]) -> Self {
        let mut process = Self::spawn(args);
        process.wait_listening();
        process
    }

    /// Waits for the line that says where it listens.
    pub(crate) fn wait_listening(&mut self) {
        assert!(self.listens(), "it does not listen:\n{}", self.log());
    }

    /// The same, for a process that may end instead; whether it listens.
    pub(crate) fn listens(&mut self) -> bool {
        let out = self.child.stdout.take().expect("stdout is still ours");
        let (found, line) = mpsc::channel();
        self.readers.push(std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(addr) = line.strip_prefix("listening on http://") {
                    let addr: SocketAddr = addr.parse().expect("an address");
                    if found.send(addr).is_err() {
                        return; // nobody waits any more
                    }
                }
            }
        }));
        self.addr = line.recv_timeout(HUNG).ok();
        self.addr.is_some()
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr.expect("a server that listens")
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// `kill -9`; returns when it is dead.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it ran");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        let status = until_within(limit, "the end of the process", || {
            child.try_wait().expect("a child")
        });
        // Its last words may still be in the pipes.
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        status
    }

    /// SIGTERM, and the end that must follow.
    pub(crate) fn terminate(mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(limit)
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what the process said"
    )]
    fn drop(&mut self) {
        // It may have ended by itself, which is fine.
        drop(self.child.kill());
        drop(self.child.wait());
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        if std::thread::panicking() {
            let log = self.log.lock();
            let from = log.len().saturating_sub(6_000);
            let tail = log.char_indices().find(|(at, _)| *at >= from);
            eprintln!(
                "--- pid {}:\n{}",
                self.pid(),
                &log[tail.map_or(0, |(at, _)| at)..]
            );
        }
    }
}

fn collect(from: impl Read, to: &Mutex<String>) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let mut log = to.lock();
        log.push_str(&String::from_utf8_lossy(&line));
        log.push('\n');
    }
}

/// Says that a test did nothing, and why; in CI that is a failure.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn skip(why: &str) {
    let ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    assert!(!ci, "cannot be skipped in CI: {why}");
    println!("skipped: {why}");
}
