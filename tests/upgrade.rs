//! State written by older versions, committed as they left it: every later version takes it over.
//!
//! `tests/data/state-N/` is a data directory whose journal has format N, each file compressed, and `expected.txt`,
//! what is in it. Who raises the format adds a directory and leaves the older ones as they are; one that can no
//! longer be read is a decision, told in CHANGELOG.md.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::copy;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use hean::journal::{self, FORMAT_VERSION, JournalConfig};
use hean::kernel::event::Seq;
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::PositionSide;
use hean::kernel::types::Qty;

const ORDERS_KEPT: usize = 10_000;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The data directories of older versions and of this one: format and path.
fn states() -> Vec<(u32, PathBuf)> {
    let mut all: Vec<_> = fs::read_dir(data(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            Some((name.strip_prefix("state-")?.parse().ok()?, path))
        })
        .collect();
    all.sort();
    all
}

/// The data directory, unpacked.
fn unpacked(state: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("journal")).unwrap();
    for entry in fs::read_dir(state).unwrap() {
        let from = entry.unwrap().path();
        let Some(name) = from
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .strip_suffix(".gz")
        else {
            continue;
        };
        let to = match name {
            "installation" => dir.path().join(name),
            _ => dir.path().join("journal").join(name),
        };
        let mut packed = GzDecoder::new(File::open(&from).unwrap());
        copy(&mut packed, &mut File::create(to).unwrap()).unwrap();
    }
    dir
}

/// What somebody who trades would ask of a state, in the words of the interface.
fn told(ledger: &Ledger) -> String {
    let mut out = String::new();
    let account = ledger.account();
    writeln!(out, "last record {}", ledger.seq().0).unwrap();
    writeln!(
        out,
        "account cash {} {}, realized {}, fees {}, funding {}, halted {}",
        account.cash,
        account.currency,
        account.realized,
        account.fees,
        account.funding,
        ledger.risk().halted
    )
    .unwrap();
    let names: Vec<String> = ledger.strategy_names().map(str::to_owned).collect();
    for name in &names {
        let runs = ledger.strategy_runs(name);
        let id = ledger.strategy(name).unwrap();
        let states = ledger
            .holdings()
            .map(|(at, ..)| ledger.strategy_state(id, at));
        let bytes: usize = states.flatten().map(<[u8]>::len).sum();
        writeln!(
            out,
            "strategy {name}, started {runs:?}, {bytes} bytes of its own"
        )
        .unwrap();
    }
    for (id, instrument, _) in ledger.holdings() {
        let position = ledger.position(id, PositionSide::Both);
        let quantity = Qty(position.qty).display(instrument.qty_scale);
        writeln!(
            out,
            "position {} {quantity}, cost {}, realized {}, fees {}",
            instrument.name, position.cost, position.realized, position.fees
        )
        .unwrap();
    }
    for order in ledger.orders().iter() {
        let instrument = ledger.instrument(order.instrument).unwrap();
        let kind = format!("{:?}", order.kind());
        let kind = kind.split(' ').next().unwrap_or_default();
        let quantity = |n: Qty| n.display(instrument.qty_scale);
        let limit = order.limit().map(|p| p.display(instrument.price_scale));
        let limit = limit.map_or_else(String::new, |limit| format!(" at {limit}"));
        let key = order.client_order_id().map(|key| format!(" {key:?}"));
        let strategy = order
            .origin
            .strategy()
            .map(|id| format!(" by {}", names[usize::from(id.0)]));
        writeln!(
            out,
            "order {}{}{} {kind} {:?} {} of {}{limit} on {}, fee {}: {:?}",
            order.id,
            key.unwrap_or_default(),
            strategy.unwrap_or_default(),
            order.side,
            quantity(order.filled),
            quantity(order.qty),
            instrument.name,
            order.fee,
            order.state
        )
        .unwrap();
    }
    writeln!(out, "{} executions", ledger.fills_since(Seq(0)).count()).unwrap();
    out
}

#[test]
fn state_of_every_format_is_taken_over() {
    let all = states();
    assert_eq!(
        all.last().map(|(format, _)| *format),
        Some(FORMAT_VERSION),
        "the format that is written has no example"
    );
    for (format, state) in all {
        let expected = fs::read_to_string(state.join("expected.txt")).unwrap();
        for with_snapshot in [true, false] {
            let dir = unpacked(&state);
            let journal = dir.path().join("journal");
            let snapshots: Vec<_> = fs::read_dir(&journal)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "snap"))
                .collect();
            assert!(!snapshots.is_empty(), "{state:?}");
            if !with_snapshot {
                for path in &snapshots {
                    fs::remove_file(path).unwrap();
                }
            }
            let config = JournalConfig::new(dir.path());
            let (opened, ledger) = journal::recover(&config, ORDERS_KEPT).unwrap();
            assert_eq!(
                opened.recovered.snapshot.is_some(),
                with_snapshot,
                "format {format}"
            );
            assert_eq!(opened.recovered.cut_bytes, 0, "format {format}");
            let found = told(&ledger);
            assert_eq!(
                found, expected,
                "format {format}, snapshot: {with_snapshot}"
            );
        }
    }
}
