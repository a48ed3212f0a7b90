//! A frame that is missing: the book must be given up at once, refuse what adds risk, and heal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::client::{json, request, wait_books};
use super::process::until;
use super::recordings::{
    Expected, FIRST, FIRST_EXPECTED, Replayed, count, daemon, data, sim, top, wait_played,
};

/// The depth frame that goes missing: about the middle.
const LOST: u64 = 1_700;

/// A copy of a recording without its [`LOST`]th depth frame; how many there were.
fn without_a_frame(from: &Path, to: &Path) -> u64 {
    let file = std::fs::File::open(from).expect("a recording");
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    let mut out = std::io::BufWriter::new(std::fs::File::create(to).expect("a copy"));
    let mut depth = 0_u64;
    for line in lines.map(|line| line.expect("text")) {
        let is_depth = line.contains("\"e\":\"depthUpdate\"");
        depth += u64::from(is_depth);
        if !is_depth || depth != LOST {
            writeln!(out, "{line}").expect("written");
        }
    }
    out.flush().expect("written");
    depth
}

#[test]
fn heavy_a_replay_without_a_frame_finds_the_gap_and_trusts_the_book_no_more() {
    let Some(data) = data() else { return };
    let expected = Expected::load(&data, FIRST_EXPECTED);
    let dir = tempfile::tempdir().expect("directory");
    let copy = dir.path().join("lossy.txt");
    let frames = without_a_frame(&data.join(FIRST), &copy);
    let replayed = Replayed::run(&[copy]);
    let (_, btcusdt) = replayed.btcusdt();
    assert_eq!(
        (btcusdt.gaps, btcusdt.valid, btcusdt.resyncs),
        (1, false, 0)
    );
    assert_eq!(btcusdt.trades, expected.trades.count);
    // Those before the snapshot are never applied; of the others, all up to the gap.
    let early = frames - expected.depth_events_applied;
    assert_eq!(btcusdt.book_updates, LOST - 1 - early);
    assert_eq!(replayed.errors, 0);
}

/// Stands before a venue's REST side and can hold back its order-book snapshots.
struct Gate {
    addr: SocketAddr,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn start(venue: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let held: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let gate = Arc::clone(&held);
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || drop(forward(client, venue, &gate)));
            }
        });
        Self { addr, held }
    }

    fn hold(&self, hold: bool) {
        *self.held.0.lock() = hold;
        self.held.1.notify_all();
    }
}

/// Requests of one connection to the venue, answers back.
fn forward(
    mut client: TcpStream,
    venue: SocketAddr,
    gate: &(Mutex<bool>, Condvar),
) -> std::io::Result<()> {
    let mut venue = TcpStream::connect(venue)?;
    let mut requests = BufReader::new(client.try_clone()?);
    let mut answers = BufReader::new(venue.try_clone()?);
    loop {
        let (head, _) = head(&mut requests)?;
        if head.contains(" /api/v3/depth?") {
            let mut held = gate.0.lock();
            while *held {
                gate.1.wait(&mut held);
            }
        }
        venue.write_all(head.as_bytes())?;
        let (head, length) = self::head(&mut answers)?;
        let mut body = vec![0; length];
        answers.read_exact(&mut body)?;
        client.write_all(head.as_bytes())?;
        client.write_all(&body)?;
    }
}

/// The head of a message and the length of its body.
fn head(from: &mut BufReader<TcpStream>) -> std::io::Result<(String, usize)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let before = head.len();
        if from.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = head[before..].trim();
        if line.is_empty() {
            return Ok((head, length));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().expect("a length");
        }
    }
}

#[test]
fn heavy_a_lost_frame_stops_new_risk_until_the_book_is_whole_again() {
    let Some(data) = data() else { return };
    let expected = Expected::load(&data, FIRST_EXPECTED);
    let dir = tempfile::tempdir().expect("directory");
    let fault = format!("drop-depth:{LOST}");
    let sim = sim(&[data.join(FIRST)], &["--speed", "40", "--fault", &fault]);
    let gate = Gate::start(sim.addr());
    let urls = [
        format!("binance.rest=http://{}", gate.addr),
        format!("binance.ws=ws://{}", sim.addr()),
    ];
    let daemon = daemon(&urls, dir.path());
    let addr = daemon.addr();
    let order = |side: &str| {
        let body =
            format!(r#"{{"symbol":"BTCUSDT","side":"{side}","type":"market","quantity":0.01}}"#);
        request(addr, "POST", "/api/v1/orders", &body).expect("an answer")
    };

    wait_books(addr, &["BTCUSDT"]);
    gate.hold(true);
    let bought = order("buy");
    assert_eq!(bought.status, 201, "{}", bought.body);
    assert_eq!(bought.json()["status"], "filled");

    // The gap: no book any more, and nothing that adds risk.
    until("the gap", || {
        (count(addr, "hean_book_gaps_total") == 1).then_some(())
    });
    let book = json(addr, "/api/v1/orderbook/BTCUSDT");
    assert_eq!(
        (&book["valid"], &book["fault"]),
        (&false.into(), &"gap".into())
    );
    assert!(book["bids"].as_array().is_some_and(Vec::is_empty), "{book}");
    assert_eq!(count(addr, "hean_book_valid"), 0);
    let refused = order("buy");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(refused.json()["rule"], "stale_data");
    // What reduces the position is let through, whatever comes of it without a book.
    let reduced = order("sell");
    assert_eq!(reduced.status, 201, "{}", reduced.body);

    gate.hold(false);
    wait_books(addr, &["BTCUSDT"]);
    assert_eq!(count(addr, "hean_book_resyncs_total"), 1);
    wait_played(sim.addr(), addr, &expected);
    assert_eq!(count(addr, "hean_book_gaps_total"), 1);
    assert_eq!(count(addr, "hean_book_resyncs_total"), 1);
    assert_eq!(top(addr), expected.top());
}

#[test]
fn heavy_a_connection_that_is_cut_comes_back_without_a_loss() {
    let Some(data) = data() else { return };
    let expected = Expected::load(&data, FIRST_EXPECTED);
    let dir = tempfile::tempdir().expect("directory");
    // At full speed the venue plays nothing while nobody listens, so nothing may be missing.
    let sim = sim(
        &[data.join(FIRST)],
        &["--speed", "max", "--fault", "cut:12000"],
    );
    let daemon = daemon(&[format!("binance=http://{}", sim.addr())], dir.path());
    let addr = daemon.addr();
    wait_played(sim.addr(), addr, &expected);
    assert_eq!(top(addr), expected.top());
    assert_eq!(
        count(addr, "hean_market_trades_total"),
        expected.trades.count
    );
    assert_eq!(count(addr, "hean_book_gaps_total"), 0);
    assert_eq!(count(addr, "hean_book_resyncs_total"), 1);
    let feed = &json(addr, "/api/v1/status")["feeds"][0];
    assert_eq!(
        (&feed["reconnects"], &feed["connected"]),
        (&1.into(), &true.into())
    );
}
