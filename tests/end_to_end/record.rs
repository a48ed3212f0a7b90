//! `hean record` and `hean run --record`: what a venue sent is read back from the files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hean::kernel::types::VenueId;
use hean::recording::{self, Scan};
use serde_json::Value;

use super::client::Sides;
use super::process::{HUNG, Process, stdout, until};
use super::recordings::{Expected, FIRST, FIRST_EXPECTED, Replayed, data, sim, text};

/// What is recorded of a venue so far.
fn recorded(dir: &Path, venue: VenueId) -> Option<Scan> {
    let files = recording::files(&[dir], venue).ok()?;
    recording::scan(&files, venue).ok()
}

/// Frames of a stream.
fn count(scan: &Scan, stream: &str) -> u64 {
    let of_symbol = |symbol: &recording::ScannedSymbol| symbol.streams.get(stream).copied();
    scan.symbols.iter().find_map(of_symbol).unwrap_or(0)
}

#[test]
fn heavy_a_recorded_venue_replays_to_the_same_book_and_trades() {
    let Some(data) = data() else { return };
    let expected = Expected::load(&data, FIRST_EXPECTED);
    let source = [data.join(FIRST)];
    let dir = tempfile::tempdir().expect("directory");
    let sim = sim(&source, &["--speed", "max"]);
    let url = format!("binance=http://{}", sim.addr());
    let to = text(dir.path());
    let args = ["record", "--symbols", "BTCUSDT", "--dir", &to, "--json"];
    let recorder = Process::spawn(&[&args[..], &["--base-url", &url]].concat());
    let known = recording::scan(&source, VenueId::Binance).expect("the source");
    let streams = ["btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker"];
    until("every frame of the source on disk", || {
        let scan = recorded(dir.path(), VenueId::Binance)?;
        let same = |s: &str| count(&scan, s) == count(&known, s);
        streams.iter().all(|s| same(s)).then_some(())
    });
    assert_eq!(recorder.terminate(Duration::from_secs(5)).code(), Some(0));

    let scan = recorded(dir.path(), VenueId::Binance).expect("a recording");
    assert_eq!(scan.malformed, 0, "{:?}", scan.first_fault);
    for stream in streams {
        assert_eq!(count(&scan, stream), count(&known, stream), "{stream}");
    }
    let replayed = Replayed::run(&[dir.path().to_owned()]);
    assert_eq!(replayed.errors, 0);
    let (shown, ours) = replayed.btcusdt();
    assert_eq!(Sides::parse(shown), expected.top());
    assert_eq!(ours.last_update_id, expected.final_update_id);
    assert_eq!(ours.trades, expected.trades.count);
    assert_eq!((ours.valid, ours.gaps, ours.resyncs), (true, 0, 0));

    // It is a venue again.
    let again = super::recordings::sim(&[dir.path().to_owned()], &["--speed", "max"]);
    let status = super::client::json(again.addr(), "/sim/status");
    assert_eq!(status["source"], "recording", "{status}");
}

#[test]
fn heavy_two_symbols_are_told_apart_behind_a_lost_connection() {
    let market = Process::serve(&[
        "sim",
        "--listen",
        "127.0.0.1:0",
        "--seed",
        "5",
        "--symbols",
        "BTCUSDT,ETHUSDT",
        "--fault",
        "cut:60",
    ]);
    let dir = tempfile::tempdir().expect("directory");
    let (to, base) = (text(dir.path()), format!("sim=http://{}", market.addr()));
    let args = [
        "record",
        "--exchange",
        "sim",
        "--symbols",
        "BTCUSDT,ETHUSDT",
        "--dir",
        &to,
    ];
    let recorder = Process::spawn(&[&args[..], &["--base-url", &base]].concat());
    let symbols = ["BTCUSDT", "ETHUSDT"];
    // Both connections' snapshots of both symbols, and updates behind them.
    let snapshots = |files: &[PathBuf], symbol: &str| {
        let name = format!("\"{}@depthSnapshot\"", symbol.to_lowercase());
        let frames = recording::Reader::new(files).filter_map(Result::ok);
        frames
            .filter(|r| String::from_utf8_lossy(&r.frame).contains(&name))
            .count()
    };
    until("snapshots of the second connection", || {
        let files = recording::files(&[dir.path()], VenueId::Sim).ok()?;
        symbols
            .iter()
            .all(|s| snapshots(&files, s) >= 2)
            .then_some(())
    });
    let before = recorded(dir.path(), VenueId::Sim)
        .expect("a recording")
        .frames;
    until("updates behind them", || {
        let scan = recorded(dir.path(), VenueId::Sim)?;
        (scan.frames > before + 50).then_some(())
    });
    assert!(recorder.terminate(Duration::from_secs(5)).success());
    let shown = stdout(&["replay", &to, "--exchange", "sim", "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        (&shown["errors"], &shown["holes"]),
        (&0.into(), &1.into()),
        "{shown}"
    );
    for symbol in symbols {
        let book = &shown["instruments"][format!("sim:{symbol}")];
        assert_eq!(
            (&book["valid"], &book["resyncs"]),
            (&true.into(), &1.into()),
            "{book}"
        );
    }
}

#[test]
fn heavy_a_daemon_records_beside_its_work_and_a_recording_has_an_end() {
    let dir = tempfile::tempdir().expect("directory");
    let to = text(dir.path());
    let daemon = Process::serve(&["run", "--demo", "--listen", "127.0.0.1:0", "--record", &to]);
    until("frames on disk", || {
        recorded(dir.path(), VenueId::Sim).filter(|scan| scan.symbols.len() == 2)
    });
    // Nobody else may write beside it.
    let url = format!("sim=http://{}", daemon.addr());
    let other = [
        "record",
        "--exchange",
        "sim",
        "--dir",
        &to,
        "--base-url",
        &url,
    ];
    let mut other = Process::spawn(&other);
    assert_eq!(other.wait(HUNG).code(), Some(1));
    let pid = format!("process {} records to", daemon.pid());
    assert!(other.log().contains(&pid), "{}", other.log());
    assert!(daemon.terminate(Duration::from_secs(5)).success());

    let market = Process::serve(&["sim", "--listen", "127.0.0.1:0"]);
    let base = format!("sim=http://{}", market.addr());
    let timed = [
        "record",
        "--exchange",
        "sim",
        "--dir",
        &to,
        "--json",
        "--duration",
        "2s",
    ];
    let summary = stdout(&[&timed[..], &["--base-url", &base]].concat());
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    assert!(summary["frames"].as_u64() > Some(0), "{summary}");
    assert_eq!(
        (&summary["dropped"], &summary["files"]),
        (&0.into(), &1.into()),
        "{summary}"
    );
    let files = recording::files(&[dir.path()], VenueId::Sim).expect("files");
    assert!(files.len() > 1, "nothing is overwritten: {files:?}");
}
