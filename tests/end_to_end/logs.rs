//! The form of logs: coloured on a terminal, plain elsewhere, one JSON object a line by flag or setting.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use super::process::{HEAN, Process, command, until};

/// What a demo logs until it listens.
fn logged(flags: &[&str], settings: &[(&str, &str)]) -> String {
    let mut run = command(HEAN);
    run.args(["run", "--demo", "--listen", "127.0.0.1:0"])
        .args(flags);
    run.envs(settings.iter().copied());
    let mut daemon = Process::run(&mut run);
    daemon.wait_listening();
    until("a line of the log", || {
        daemon.log().contains(" is up").then(|| daemon.log())
    })
}

#[test]
fn heavy_logs_are_json_by_flag_or_setting_and_plain_in_a_pipe() {
    for (flags, settings) in [
        (&["--json"][..], &[][..]),
        (&[], &[("HEAN__LOG__FORMAT", "json")]),
    ] {
        let log = logged(flags, settings);
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            for field in ["timestamp", "level", "target", "message"] {
                assert!(line[field].is_string(), "{field} of {line}");
            }
        }
        let up: Value = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|line: &Value| {
                line["message"]
                    .as_str()
                    .is_some_and(|m| m.contains(" is up"))
            })
            .expect("the line that says where it is");
        // Fields are fields, not text.
        assert_eq!(up["mode"], "paper");
        assert_eq!(up["level"], "INFO");
    }
    let plain = logged(&[], &[("NO_COLOR", "")]);
    assert!(plain.contains(" INFO hean::daemon: hean "), "{plain}");
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let quiet = logged_at_error();
    assert_eq!(quiet, "", "nothing is an error here");
}

/// All that is logged at level `error` until it listens.
fn logged_at_error() -> String {
    let mut run = command(HEAN);
    run.args(["run", "--demo", "--listen", "127.0.0.1:0"]);
    run.env("HEAN__LOG__LEVEL", "error");
    let mut daemon = Process::run(&mut run);
    daemon.wait_listening();
    daemon.log()
}

#[test]
fn heavy_logs_on_a_terminal_are_coloured_unless_told_otherwise() {
    for (no_color, coloured) in [("", true), ("1", false)] {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).expect("granted");
        unlockpt(&terminal).expect("unlocked");
        let name = ptsname(&terminal, Vec::new()).expect("a name");
        let name = name.to_str().expect("text").to_owned();
        let side = std::fs::OpenOptions::new()
            .write(true)
            .open(&name)
            .expect("its other side");
        let mut daemon = command(HEAN)
            .args(["run", "--demo", "--listen", "127.0.0.1:0"])
            .env("NO_COLOR", no_color)
            .stdout(Stdio::null())
            .stderr(side)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(std::fs::File::from(terminal).take(1 << 20)).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains(" is up"));
        daemon.kill().expect("killed");
        daemon.wait().expect("ended");
        let line = line.expect("a line that says that it is up");
        assert_eq!(line.contains("\u{1b}["), coloured, "{line:?}");
    }
}
