//! What systemd is told over its socket.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::client::{get, wait_books};
use super::process::{HEAN, HUNG, Process, command, until};
use super::syscalls::can_trace;
use super::trader::{SYMBOLS, arguments, market};

/// Between two messages for the watchdog are this many microseconds and a third.
const WATCHDOG_USEC: &str = "600000";

/// What a stuck kernel is told with at each beat of the watchdog.
const STUCK: &str = "the kernel thread is stuck";

/// The socket that systemd would listen to.
struct Notified {
    socket: UnixDatagram,
}

impl Notified {
    fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(HUNG)).expect("a timeout");
        Self { socket }
    }

    /// Messages until one of them has this line; the whole of that one.
    fn wait_for(&self, line: &str) -> String {
        loop {
            let message = self.next(line);
            if message.lines().any(|l| l == line) {
                return message;
            }
        }
    }

    /// The next message.
    fn next(&self, what: &str) -> String {
        let mut buffer = [0; 4_096];
        let length = self.socket.recv(&mut buffer);
        let length = length.unwrap_or_else(|e| panic!("{what} never came: {e}"));
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// What has come and was not read yet.
    fn waiting(&self) -> Vec<String> {
        let mut buffer = [0; 4_096];
        self.socket.set_nonblocking(true).expect("a socket");
        let mut all = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        self.socket.set_nonblocking(false).expect("a socket");
        all
    }
}

/// The daemon as a service; it says READY when this returns.
fn service(market: &Process, dir: &Path) -> (Process, Notified) {
    let path = dir.join("notify");
    let notified = Notified::bind(&path);
    // The watchdog is meant for one process: the shell becomes it, so its id is known before.
    let mut command = command("sh");
    command
        .args(["-c", r#"WATCHDOG_PID=$$ exec "$0" "$@""#, HEAN])
        .args(arguments(market.addr(), &dir.join("data")))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", WATCHDOG_USEC);
    let mut daemon = Process::run(&mut command);
    let status = notified.next("a status");
    notified.wait_for("READY=1");
    daemon.wait_listening(); // was printed before
    let status = status.trim_end();
    assert_eq!(status, format!("STATUS=paper on http://{}", daemon.addr()));
    wait_books(daemon.addr(), &SYMBOLS[..1]);
    (daemon, notified)
}

#[test]
fn heavy_systemd_is_told_of_readiness_life_reload_and_end() {
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let (mut daemon, notified) = service(&market, dir.path());
    notified.wait_for("WATCHDOG=1");
    notified.wait_for("WATCHDOG=1");
    for _ in 0..2 {
        daemon.signal("HUP");
        let message = notified.wait_for("RELOADING=1");
        let since = message
            .lines()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(since.is_some_and(|n| n.parse::<u64>().is_ok()), "{message}");
        notified.wait_for("READY=1");
    }
    until("a word on the reload", || {
        let log = daemon.log();
        log.contains("read anew").then_some(())
    });
    assert!(!daemon.log().contains(STUCK), "it was not");
    daemon.signal("TERM");
    notified.wait_for("STOPPING=1");
    assert_eq!(daemon.wait(HUNG).code(), Some(0));
}

/// The thread of this name.
fn thread(process: u32, name: &str) -> u32 {
    let tasks = format!("/proc/{process}/task");
    let tasks = std::fs::read_dir(tasks).expect("threads");
    tasks
        .map(|task| task.expect("a thread").path())
        .find(|task| {
            let comm = std::fs::read_to_string(task.join("comm"));
            comm.is_ok_and(|comm| comm.trim() == name)
        })
        .and_then(|task| task.file_name()?.to_str()?.parse().ok())
        .expect("a thread of that name")
}

/// Holds one thread where it goes to sleep until this is dropped; the others of the process go on.
struct Held {
    tracer: Process,
}

impl Held {
    fn hold(thread: u32) -> Self {
        let mut strace = command("strace");
        // Without -f it sees no thread but this one. At another call (for memory) it could hold a lock that
        // others need. The delay is in microseconds, and longer than any test.
        strace.args(["-qq", "-e", "trace=futex", "-e"]);
        strace.arg("inject=futex:delay_enter=600000000");
        strace.args(["-o", "/dev/null", "-p", &thread.to_string()]);
        Self {
            tracer: Process::run(&mut strace),
        }
    }

    fn release(self) {
        // Killed, a tracer lets go of what it traces.
        self.tracer.kill();
    }
}

#[test]
fn heavy_a_kernel_that_stands_still_feeds_no_watchdog() {
    if !can_trace() {
        return;
    }
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let (daemon, notified) = service(&market, dir.path());
    notified.wait_for("WATCHDOG=1");
    let held = Held::hold(thread(daemon.pid(), "kernel"));
    let beats = || daemon.log().matches(STUCK).count();
    // A socket that nobody reads from fills up. The last look is at what was sent before the word.
    until("the kernel was found stuck", || {
        let stuck = beats() > 0;
        notified.waiting();
        stuck.then_some(())
    });
    // Each beat from now on is told in the log instead.
    until("more beats", || (beats() >= 4).then_some(()));
    let told = notified.waiting();
    assert!(told.is_empty(), "{told:?}");
    until("a word on the API", || {
        (get(daemon.addr(), "/livez").status == 503).then_some(())
    });
    held.release();
    notified.wait_for("WATCHDOG=1");
    assert_eq!(get(daemon.addr(), "/livez").status, 200);
}
