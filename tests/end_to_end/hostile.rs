//! A daemon under clients that mean harm, ten thousand at once: it closes them, stays small, and goes on
//! trading.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::client::{get, json, metric, wait_books};
use super::process::{HEAN, HUNG, Process, command, pause, skip, until};

/// Clients that connect and are slow.
const CLIENTS: usize = 10_000;
/// How much the daemon may grow, in kibibytes. A build without optimisation grows by some 20 MiB, which is no user's.
const GROWTH_KIB_MAX: u64 = if cfg!(debug_assertions) { 32 } else { 16 } * 1024;

/// Lets this process have so many sockets; whether it may.
fn raise_limit(files: usize) -> bool {
    let pid = std::process::id().to_string();
    let limit = format!("--nofile={files}:{files}");
    let enough = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
        soft.is_some_and(|soft| soft >= files)
    };
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    enough(&limits)
        || Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status()
            .is_ok_and(|status| status.success())
}

/// Resident memory, in kibibytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.expect("a size")
}

/// A caller with one connection that it keeps.
struct Caller(TcpStream, SocketAddr);

impl Caller {
    fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).expect("connected");
        socket.set_read_timeout(Some(HUNG)).expect("set");
        socket.set_nodelay(true).expect("set");
        Self(socket, addr)
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (host, length) = (self.1, body.len());
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.0.write_all(text.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let mut part = [0; 4_096];
        loop {
            let count = self.0.read(&mut part).expect("an answer");
            assert!(count > 0, "the connection of a good caller was closed");
            answer.extend_from_slice(&part[..count]);
            let text = std::str::from_utf8(&answer).expect("UTF-8");
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if length == Some(body.len()) {
                let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
                let json = serde_json::from_str(body).expect("JSON");
                return (status.expect("a status"), json);
            }
        }
    }
}

/// Places and cancels orders until told to stop; every one must be accepted.
fn trade(addr: SocketAddr, accepted: &AtomicU64, stop: &AtomicBool) {
    let mut caller = Caller::connect(addr);
    while !stop.load(Ordering::Relaxed) {
        let (_, ticker) = caller.ask("GET", "/api/v1/ticker/BTCUSDT", "");
        let price = ticker["bid"].as_f64().expect("a bid") * 0.98;
        let order = format!(
            r#"{{"symbol":"BTCUSDT","side":"buy","type":"limit","quantity":0.001,"price":{price:.0}}}"#
        );
        let (status, answer) = caller.ask("POST", "/api/v1/orders", &order);
        assert_eq!(status, 201, "{answer}");
        let id = answer["order_id"].as_str().expect("an id");
        let (status, answer) = caller.ask("DELETE", &format!("/api/v1/orders/{id}"), "");
        assert!([200, 202].contains(&status), "{answer}");
        accepted.fetch_add(1, Ordering::Relaxed);
        // As often as people and their programs do, not as often as it goes.
        pause(Duration::from_millis(20));
    }
}

/// Reads until the other side ends the connection.
fn drain(socket: &mut TcpStream) {
    socket.set_read_timeout(Some(HUNG)).expect("set");
    let mut part = [0; 4_096];
    loop {
        match socket.read(&mut part) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the connection is still open: {error}"),
        }
    }
}

/// Sends `piece` after `head` as often as it is taken, `count` times at most, without reading.
fn pour(addr: SocketAddr, head: &str, piece: &str, count: usize) {
    let mut socket = TcpStream::connect(addr).expect("connected");
    socket.set_write_timeout(Some(HUNG)).expect("set");
    let head = head.replace("{host}", &addr.to_string());
    let piece = piece.replace("{host}", &addr.to_string());
    if socket.write_all(head.as_bytes()).is_err() {
        return;
    }
    for _ in 0..count {
        match socket.write_all(piece.as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("neither taken nor closed: {error}")
            }
            Err(_) => return,
        }
    }
    drain(&mut socket);
}

#[test]
fn heavy_hostile_clients_are_closed_and_trading_goes_on() {
    if !raise_limit(CLIENTS + 1_000) {
        return skip("this process may not have ten thousand sockets");
    }
    let mut run = command(HEAN);
    run.args(["run", "--demo", "--listen", "127.0.0.1:0"]);
    for name in ["HEADER", "BODY", "WRITE"] {
        run.env(format!("HEAN__HTTP__{name}_TIMEOUT_MS"), "1000");
    }
    let mut daemon = Process::run(&mut run);
    daemon.wait_listening();
    let (addr, pid) = (daemon.addr(), daemon.pid());
    wait_books(addr, &["BTCUSDT"]);
    let accepted = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let trader = {
        let (accepted, stop) = (Arc::clone(&accepted), Arc::clone(&stop));
        thread::spawn(move || trade(addr, &accepted, &stop))
    };
    let more_orders = |count: u64| {
        let wanted = accepted.load(Ordering::Relaxed) + count;
        until("orders that are accepted", || {
            assert!(!trader.is_finished(), "the trader has failed");
            (accepted.load(Ordering::Relaxed) >= wanted).then_some(())
        });
    };
    // What a daemon takes in its first minute anyway is no growth.
    more_orders(400);
    let steps = || metric(addr, r#"hean_stage_seconds_count{stage="step"}"#);
    let (before, steps_before) = (resident(pid), steps());
    let peak = Arc::new(AtomicU64::new(before));
    let watcher = {
        let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(resident(pid), Ordering::Relaxed);
                pause(Duration::from_millis(10));
            }
        })
    };

    // Ten thousand that say a little and then nothing.
    let mut clients: Vec<TcpStream> = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut socket = TcpStream::connect(addr).expect("connected");
        let said: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /api/v1/ti",
            2 => b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-",
            _ => b"POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        };
        // One that has been turned away need not hear it.
        drop(socket.write_all(said));
        if number % 8 == 7 {
            // A half of it is closed.
            drop(socket.shutdown(Shutdown::Write));
        }
        clients.push(socket);
    }
    more_orders(5);
    for socket in &mut clients {
        drain(socket);
    }
    drop(clients);

    // Bodies of ten megabytes, with and without a length, and requests without an end, all unread.
    let post = "POST /api/v1/orders HTTP/1.1\r\nHost: {host}\r\n";
    let declared = format!("{post}Content-Length: 10485760\r\n\r\n");
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let spaces = " ".repeat(0x4_0000);
    let chunk = format!("40000\r\n{spaces}\r\n");
    let requests =
        "GET /api/v1/orderbook/BTCUSDT?depth=100 HTTP/1.1\r\nHost: {host}\r\n\r\n".repeat(100);
    let floods: Vec<_> = (0..24)
        .map(|number| {
            let (head, piece, count) = match number % 3 {
                0 => (declared.clone(), spaces.clone(), 40),
                1 => (chunked.clone(), chunk.clone(), 40),
                _ => (String::new(), requests.clone(), 1_000),
            };
            thread::spawn(move || pour(addr, &head, &piece, count))
        })
        .collect();
    for flood in floods {
        flood.join().expect("each has its end");
    }

    more_orders(20);
    assert_eq!(get(addr, "/health").status, 200);
    assert_eq!(json(addr, "/api/v1/risk")["mode"], "normal");
    stop.store(true, Ordering::Relaxed);
    trader.join().expect("every order was accepted");
    watcher.join().expect("it only looked");
    assert!(steps() > steps_before, "the kernel stands still");
    let growth = peak.load(Ordering::Relaxed) - before;
    assert!(
        growth <= GROWTH_KIB_MAX,
        "it grew by {growth} KiB from {before} KiB"
    );
}
