//! What the real binary asks of the kernel: in which order, and what it does when the answer is an error.
//!
//! With `strace`, which sees every call and can let any of them fail.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::wait_books;
use super::process::{HEAN, HUNG, Process, command, skip};
use super::trader::{
    Promised, SYMBOLS, arguments, daemon, market, place, wait_consistent, wait_durable,
};

/// More writes or syncs than the orders below can cause: the daemon must survive before.
const CALLS_MAX: u32 = 60;

/// Orders sent before somebody who waits for one to be taken has waited in vain.
const ATTEMPTS_MAX: u32 = 2_000;

/// Whether processes can be traced here; says so where they cannot.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn can_trace() -> bool {
    match Command::new("strace").args(["-qq", "true"]).output() {
        Err(_) => {
            skip("no strace");
            false
        }
        Ok(output) if !output.status.success() => {
            // Some sandboxes forbid it, whatever is installed.
            let why = String::from_utf8_lossy(&output.stderr);
            println!("skipped: strace may not trace here: {why}");
            false
        }
        Ok(_) => true,
    }
}

/// The daemon under `strace`. Dropping it kills the daemon, and with it the tracer.
struct Traced {
    tracer: Process,
    data_dir: PathBuf,
    log: PathBuf,
}

impl Traced {
    /// Starts it with more arguments for `strace`.
    fn start(venue: SocketAddr, data_dir: &Path, log: &Path, flags: &[&str]) -> Self {
        let mut strace = command("strace");
        strace.args(["-f", "-qq", "--seccomp-bpf", "-s", "2000", "-o"]);
        strace.arg(log).args(flags).arg("--").arg(HEAN);
        strace.args(arguments(venue, data_dir));
        Self {
            tracer: Process::run(&mut strace),
            data_dir: data_dir.to_owned(),
            log: log.to_owned(),
        }
    }

    fn calls(&self) -> String {
        let bytes = std::fs::read(&self.log).expect("the tracer's log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn kill(&self) {
        let Ok(pid) = std::fs::read_to_string(self.data_dir.join("lock")) else {
            return;
        };
        // It may be dead already.
        drop(
            Command::new("kill")
                .args(["-s", "KILL", pid.trim()])
                .output(),
        );
    }

    /// Kills the daemon; returns when the tracer has ended too.
    fn end(mut self) -> String {
        self.kill();
        self.tracer.wait(HUNG);
        self.calls()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.kill();
    }
}

fn order(id: &str) -> String {
    format!(
        r#"{{"symbol":"{}","side":"buy","type":"market","quantity":"0.0002","client_order_id":"{id}"}}"#,
        SYMBOLS[0]
    )
}

/// The thread that made a call, and the rest of the line.
fn thread_of(line: &str) -> Option<(&str, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    Some((thread, rest.trim_start()))
}

#[test]
fn heavy_an_intent_is_on_disk_before_anybody_hears_of_its_order() {
    if !can_trace() {
        return;
    }
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let log = dir.path().join("calls");
    let data = dir.path().join("data");
    let flags = ["-e", "trace=pwrite64,fdatasync,sendto,sendmsg,write,writev"];
    let mut traced = Traced::start(market.addr(), &data, &log, &flags);
    traced.tracer.wait_listening();
    let addr = traced.tracer.addr();
    wait_books(addr, &SYMBOLS);
    let mut promised = Promised::default();
    for number in 0..5 {
        let told = place(addr, &order(&format!("traced-{number}"))).expect("an answer");
        assert!(promised.note(told), "refused");
    }
    let calls = traced.end();
    let calls: Vec<(&str, &str)> = calls.lines().filter_map(thread_of).collect();
    for number in 0..5 {
        let id = format!("traced-{number}");
        let written = calls
            .iter()
            .position(|(_, call)| call.starts_with("pwrite64(") && call.contains(&id))
            .expect("the intent is written");
        let writer = calls[written].0;
        let synced = calls
            .iter()
            .skip(written)
            .position(|(thread, call)| {
                *thread == writer && call.contains("fdatasync") && call.ends_with("= 0")
            })
            .map(|after| written + after)
            .expect("the intent is synced");
        let answered = calls
            .iter()
            .position(|(_, call)| {
                let sends = ["sendto(", "sendmsg(", "write(", "writev("];
                sends.iter().any(|send| call.starts_with(send))
                    && call.contains("HTTP/1.1 201")
                    && call.contains(&id)
            })
            .expect("the caller is answered");
        assert!(
            written < synced && synced < answered,
            "{id}: written by call {written}, synced by {synced}, answered by {answered}"
        );
    }
}

/// Starts the daemon where the `nth` such call of each thread fails, and trades. Whether a call failed.
fn fails(venue: SocketAddr, data: &Path, log: &Path, fault: &str, promised: &mut Promised) -> bool {
    let name = fault.split(':').next().unwrap_or_default();
    let (trace, inject) = (format!("trace={name}"), format!("inject={fault}"));
    let flags = ["-e", trace.as_str(), "-e", inject.as_str()];
    let mut traced = Traced::start(venue, data, log, &flags);
    if traced.tracer.listens() {
        let addr = traced.tracer.addr();
        for number in 0..4 {
            let order = order(&format!("{}-{number}", fault.replace([':', '='], "_")));
            // Its book may not be verified yet, and then the order is refused.
            let answer = (0..ATTEMPTS_MAX).find_map(|_| match place(addr, &order) {
                Some(told) => promised.note(told).then_some(true),
                None => Some(false),
            });
            if answer != Some(true) {
                break;
            }
        }
    }
    traced.end().contains("(INJECTED)")
}

#[test]
#[expect(clippy::print_stdout, reason = "what was covered is for people")]
fn heavy_whichever_write_or_sync_fails_nobody_is_promised_what_is_lost() {
    if !can_trace() {
        return;
    }
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let log = dir.path().join("calls");
    let data = dir.path().join("data");
    let mut promised = Promised::default();
    for (call, error) in [
        ("pwrite64", "ENOSPC"),
        ("pwrite64", "EIO"),
        ("fdatasync", "EIO"),
        ("fdatasync", "ENOSPC"),
    ] {
        let mut nth = 1;
        loop {
            assert!(nth < CALLS_MAX, "{call} is called without end");
            let fault = format!("{call}:error={error}:when={nth}");
            let failed = fails(market.addr(), &data, &log, &fault, &mut promised);
            // On a disk that works again.
            let after = daemon(market.addr(), &data, &[]);
            promised.check(after.addr());
            promised.repeat_last(after.addr());
            wait_consistent(after.addr());
            wait_durable(after.addr());
            after.kill();
            if !failed {
                break;
            }
            nth += 1;
        }
        println!("{call} with {error}: {} calls failed in turn", nth - 1);
        assert!(nth > 3, "the fault never came");
    }
    assert!(promised.len() > 10, "{}", promised.len());
}
