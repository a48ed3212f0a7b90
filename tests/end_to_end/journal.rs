//! `hean journal …` on the journal of a running and of an ended daemon, what a start says of it, and a full disk.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::client::{json, request};
use super::process::{HEAN, HUNG, Process, command, output, stdout, until};
use super::recordings::text;
use super::trader::{
    Load, Promised, SYMBOLS, arguments, buy_stock, daemon, market, state, wait_consistent,
    wait_durable,
};

fn check(dir: &Path) -> Value {
    let json = stdout(&["journal", "check", "--data-dir", &text(dir), "--json"]);
    serde_json::from_str(&json).expect("JSON")
}

/// A configuration that makes snapshots often and keeps little.
fn small(dir: &Path) -> String {
    let file = dir.join("hean.toml");
    let settings = "[journal]\nsegment_mib = 1\nsnapshot_every = 100\ndisk_quota = 1048576\n";
    std::fs::write(&file, settings).expect("file");
    text(&file)
}

#[test]
fn heavy_a_start_from_a_snapshot_is_as_good_as_one_from_the_whole_journal() {
    let market = market();
    let home = tempfile::tempdir().expect("directory");
    let config = small(home.path());
    let data = home.path().join("data");
    let more = ["--config", config.as_str()];
    let mut promised = Promised::default();
    let first = daemon(market.addr(), &data, &more);
    let status = json(first.addr(), "/api/v1/status");
    assert_eq!(status["recovery"]["seq"], 0, "{status}");
    assert_eq!(status["recovery"]["snapshot"], Value::Null);
    buy_stock(first.addr());
    let load = Load::start(first.addr(), "s", 11);
    load.wait(150, &mut promised);
    until("two snapshots", || {
        let journal = &json(first.addr(), "/api/v1/status")["journal"];
        (journal["snapshots"].as_u64() >= Some(2)).then_some(())
    });
    // A look while it writes.
    let checked = check(&data);
    assert_eq!(checked["ok"], true, "{checked}");
    assert_eq!(checked["used_by"], first.pid(), "{checked}");
    first.kill();
    load.finish(&mut promised);

    let checked = check(&data);
    assert_eq!(checked["used_by"], Value::Null, "{checked}");
    assert_eq!(checked["snapshots"].as_array().map(Vec::len), Some(2));
    let second = daemon(market.addr(), &data, &more);
    let found = json(second.addr(), "/api/v1/status")["recovery"].clone();
    assert!(found["snapshot"].as_u64() > Some(100), "{found}");
    assert!(second.log().contains("recovered from the journal"));
    promised.check(second.addr());
    promised.cancel_all(second.addr());
    wait_consistent(second.addr());
    wait_durable(second.addr());
    let before = state(second.addr());
    second.kill();

    // The same from the whole journal: nothing was deleted yet, so the snapshots are not needed.
    let dir = data.join("journal");
    for entry in std::fs::read_dir(&dir).expect("names") {
        let path = entry.expect("a name").path();
        if path.extension().is_some_and(|e| e == "snap") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let third = daemon(market.addr(), &data, &more);
    let found = json(third.addr(), "/api/v1/status")["recovery"].clone();
    assert_eq!(found["snapshot"], Value::Null, "{found}");
    assert_eq!(state(third.addr()), before);
}

#[test]
fn heavy_the_journal_is_shown_followed_checked_and_mended() {
    let market = market();
    let home = tempfile::tempdir().expect("directory");
    let data = home.path();
    let dir = text(data);
    let first = daemon(market.addr(), data, &[]);
    buy_stock(first.addr());
    wait_durable(first.addr());
    let seq = json(first.addr(), "/api/v1/status")["journal"]["durable"]
        .as_u64()
        .expect("a number");

    // Every record, from the running daemon.
    let args = ["journal", "dump", "--data-dir", &dir, "--json"];
    let lines = stdout(&args);
    let records: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(records.len() as u64 >= seq, "{} of {seq}", records.len());
    for (number, record) in (1_u64..).zip(&records) {
        assert_eq!(record["seq"], number);
        assert!(record["record"].is_object(), "{record}");
    }
    let range = [&args[..4], &["--from", "3", "--to", "5"]].concat();
    let some = stdout(&range);
    let numbers: Vec<&str> = some.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(numbers, ["3", "4", "5"], "{some}");

    // What comes while somebody looks.
    let seen = home.path().join("seen");
    let mut tail = command(HEAN);
    tail.args([
        "journal",
        "tail",
        "--data-dir",
        &dir,
        "--from",
        "1",
        "--json",
    ]);
    tail.stdout(std::fs::File::create(&seen).expect("file"));
    let mut follower = Killed(tail.spawn().expect("the binary starts"));
    let sell = format!(
        r#"{{"symbol":"{}","side":"sell","type":"market","quantity":"1","client_order_id":"seen"}}"#,
        SYMBOLS[1]
    );
    let sold = request(first.addr(), "POST", "/api/v1/orders", &sell).expect("an answer");
    assert_eq!(sold.status, 201, "{}", sold.body);
    until("the order in the tail", || {
        let lines = std::fs::read_to_string(&seen).expect("text");
        assert!(follower.0.try_wait().expect("a child").is_none());
        lines.contains("\"seen\"").then_some(())
    });
    drop(follower);

    // Nobody writes to a journal that is in use.
    let quarantine = ["journal", "quarantine", "4", "--data-dir", &dir];
    let refused = output(&quarantine);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("in use by process"), "{said}");
    assert!(first.terminate(Duration::from_secs(5)).success());

    // A record less: the start says so, and only reductions pass until the operator resumes.
    let refusal = records
        .iter()
        .find(|r| r["record"].get("Equity").is_some() || r["record"].get("Report").is_some())
        .expect("a record that can be done without");
    let without = refusal["seq"].to_string();
    stdout(&["journal", "quarantine", &without, "--data-dir", &dir]);
    let second = daemon(market.addr(), data, &[]);
    let said = format!("record {without} of the journal is under quarantine");
    assert!(second.log().contains(&said), "{}", second.log());
    let status = json(second.addr(), "/api/v1/status");
    assert_eq!(status["recovery"]["quarantined"], 1, "{status}");
    assert_eq!(status["recovery"]["risk"], "reduce_only", "{status}");
    let risk = json(second.addr(), "/api/v1/risk");
    assert_eq!(
        (&risk["mode"], &risk["cause"]),
        (&"reduce_only".into(), &"quarantine".into())
    );
    let buy = format!(
        r#"{{"symbol":"{}","side":"buy","type":"market","quantity":"0.01"}}"#,
        SYMBOLS[0]
    );
    let refused = request(second.addr(), "POST", "/api/v1/orders", &buy).expect("an answer");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(refused.json()["rule"], "quarantine", "{}", refused.body);
    let resumed = request(second.addr(), "POST", "/api/v1/resume", "").expect("an answer");
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    assert_eq!(json(second.addr(), "/api/v1/risk")["mode"], "normal");
    assert!(second.terminate(Duration::from_secs(5)).success());

    // A flipped bit: found by the check and by the start, which name file and place.
    let segment = data.join("journal").join(format!("{:020}.wal", 1));
    let mut bytes = std::fs::read(&segment).expect("the segment");
    bytes[100] ^= 1;
    std::fs::write(&segment, bytes).expect("written");
    let checked = output(&["journal", "check", "--data-dir", &dir]);
    assert_eq!(checked.status.code(), Some(1));
    let place = format!("{} is damaged at byte 64", segment.display());
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains(&place) && said.contains("backup"), "{said}");
    let args = arguments(market.addr(), data);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut third = Process::spawn(&args);
    assert_eq!(third.wait(HUNG).code(), Some(1));
    assert!(third.log().contains(&place), "{}", third.log());
}

/// Killed when dropped.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A file system of its own, of a fixed size. Unmounted when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(mib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("directory");
        let size = format!("size={mib}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "hean-test"])
            .arg(dir.path())
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn heavy_a_full_disk_stops_new_orders_and_nothing_else() {
    let Some(disk) = Mounted::new(160) else {
        // Some sandboxes forbid it, whatever is installed.
        println!("skipped: 1 test, because no file system may be mounted here");
        return;
    };
    let market = market();
    let data = disk.0.path().join("data");
    let first = daemon(market.addr(), &data, &[]);
    buy_stock(first.addr());
    let addr = first.addr();
    let full = |wanted: bool| {
        until("the state of the disk", || {
            let status = json(addr, "/api/v1/status");
            let journal = &status["journal"];
            let said = (&journal["disk_full"], &journal["full"]);
            (said == (&wanted.into(), &wanted.into())).then_some(())
        });
    };
    let reserve = data.join("journal/reserve");
    until("the reserve", || reserve.exists().then_some(()));
    full(false);
    let rest = format!(
        r#"{{"symbol":"{}","side":"sell","type":"limit","quantity":"1","price":"900000"}}"#,
        SYMBOLS[1]
    );
    let order = |body: &str| request(addr, "POST", "/api/v1/orders", body).expect("an answer");
    let resting = order(&rest);
    assert!([201, 422].contains(&resting.status), "{}", resting.body);
    let buy = format!(
        r#"{{"symbol":"{}","side":"buy","type":"limit","quantity":"0.01","price":"1000"}}"#,
        SYMBOLS[0]
    );

    // Somebody fills the disk.
    let filler = disk.0.path().join("filler");
    let filled = std::fs::write(&filler, vec![1_u8; 200 << 20]);
    assert!(filled.is_err(), "the disk has more room than it was given");
    full(true);
    assert!(!reserve.exists());
    let refused = order(&buy);
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(refused.json()["rule"], "journal", "{}", refused.body);
    // Reductions and cancels are still written.
    let close = format!("/api/v1/positions/{}/close", SYMBOLS[1]);
    let closed = request(addr, "POST", &close, "").expect("an answer");
    assert!(closed.status < 300, "{}", closed.body);
    wait_durable(addr);

    std::fs::remove_file(&filler).expect("removed");
    full(false);
    assert!(reserve.exists());
    assert!(first.terminate(Duration::from_secs(5)).success());
    assert_eq!(check(&data)["ok"], true);
}
