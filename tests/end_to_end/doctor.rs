//! `hean doctor` on things that are wrong: each is found, with what to do, and all that is well is said to be.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::process::{HEAN, command};
use super::redis::Redis;
use super::trader::market;

/// Runs it on a configuration with these lines; `credentials` are files beside it.
fn doctor(dir: &Path, config: &str, credentials: Option<&Path>, flags: &[&str]) -> Output {
    let file = dir.join("hean.toml");
    fs::write(&file, config).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
    let mut run = command(HEAN);
    run.arg("doctor").args(flags).arg("--config").arg(file);
    run.arg("--data-dir").arg(dir.join("data"));
    if let Some(dir) = credentials {
        run.env("CREDENTIALS_DIRECTORY", dir);
    }
    run.output().expect("it runs")
}

/// The findings of `--json`.
struct Findings(Value);

impl Findings {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        Self(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }

    /// Verdict, finding and fix of what was looked at.
    fn about(&self, check: &str, subject: &str) -> (String, String, String) {
        let all = self.0["findings"].as_array().expect("findings");
        let is = |f: &&Value, whole: bool| {
            let told = f["subject"].as_str().expect("a subject");
            f["check"] == check && (told == subject || !whole && told.contains(subject))
        };
        let finding = all.iter().find(|f| is(f, true));
        let finding = finding.or_else(|| all.iter().find(|f| is(f, false)));
        let finding = finding.unwrap_or_else(|| panic!("{check} {subject}: {all:#?}"));
        let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        (text("verdict"), text("found"), text("fix"))
    }
}

/// A finding that is not well says what to do.
fn each_has_a_fix(findings: &Findings) {
    for finding in findings.0["findings"].as_array().expect("findings") {
        let well = finding["verdict"] == "ok";
        assert_eq!(finding["fix"].is_null(), well, "{finding}");
        assert!(
            finding["found"].as_str().is_some_and(|f| !f.is_empty()),
            "{finding}"
        );
    }
}

#[test]
fn heavy_the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let Some(redis) = Redis::start() else { return };
    let venue = market();
    let dir = tempfile::tempdir().expect("directory");
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = port.local_addr().expect("bound");
    let config = |url: &str| {
        format!(
            "[run]\nexchange = [\"binance\"]\nsymbols = [\"BTCUSDT\"]\n\
             [http]\nlisten = \"{listen}\"\n[store]\nurl = \"{url}\"\n\
             [venues.binance]\nrest = \"http://{0}\"\nws = \"ws://{0}\"\n",
            venue.addr()
        )
    };

    // A store that forgets: it throws keys away, writes nothing down, and has no limit.
    for (setting, value) in [
        ("maxmemory-policy", "allkeys-lru"),
        ("appendonly", "no"),
        ("maxmemory", "0"),
        ("save", ""),
    ] {
        redis.set_config(setting, value);
    }
    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).expect("made");
    let token = credentials.join("api_token");
    fs::write(&token, "hean_0123456789abcdef0123456789abcdef").expect("written");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("set");
    fs::create_dir(dir.path().join("data")).expect("made");
    fs::set_permissions(dir.path().join("data"), fs::Permissions::from_mode(0o755)).expect("set");
    let output = doctor(
        dir.path(),
        &config(&redis.url()),
        Some(&credentials),
        &["--json"],
    );
    // It would run, so it is no failure.
    assert_eq!(output.status.code(), Some(0));
    let found = Findings::of(&output);
    each_has_a_fix(&found);
    assert_eq!(found.0["verdict"], "warn");
    for (check, subject, what, fix) in [
        ("store", "maxmemory-policy", "allkeys-lru", "noeviction"),
        ("store", "appendonly", "loses", "appendonly yes"),
        ("store", "maxmemory", "no limit", "maxmemory 2gb"),
        ("store", "save", "no snapshots", "save 900 1"),
        ("keys", "api_token", "644", "chmod 640"),
        ("disk", "data", "755", "chmod 700"),
        ("port", &listen.to_string(), "taken", "--listen"),
    ] {
        let (verdict, found, fixed) = found.about(check, subject);
        assert_eq!(verdict, "warn", "{check} {subject}: {found}");
        assert!(found.contains(what), "{check} {subject}: {found}");
        assert!(fixed.contains(fix), "{check} {subject}: {fixed}");
    }
    assert_eq!(found.about("venue", "binance").0, "ok");
    assert_eq!(found.about("clock", "binance").0, "ok");
    assert_eq!(found.about("disk", "write and sync").0, "ok");

    // The same for people: every finding a line, every fix below it.
    let output = doctor(dir.path(), &config(&redis.url()), Some(&credentials), &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    let at = lines
        .iter()
        .position(|l| l.contains("throws keys away"))
        .expect("a line");
    assert!(lines[at].starts_with("warn  store"), "{}", lines[at]);
    assert!(
        lines[at + 1]
            .trim_start()
            .starts_with("-> maxmemory-policy noeviction")
    );
    let last = lines.last().expect("a line");
    assert!(last.contains("to look at, 0 to mend"), "{last}");

    // Mended, nothing of it is said any more.
    for (setting, value) in [
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("maxmemory", "100mb"),
        ("save", "900 1"),
    ] {
        redis.set_config(setting, value);
    }
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("set");
    fs::set_permissions(dir.path().join("data"), fs::Permissions::from_mode(0o700)).expect("set");
    drop(port);
    let output = doctor(
        dir.path(),
        &config(&redis.url()),
        Some(&credentials),
        &["--json"],
    );
    let found = Findings::of(&output);
    for (check, subject) in [
        ("store", "maxmemory-policy"),
        ("store", "appendonly"),
        ("store", "save"),
        ("keys", "api_token"),
        ("port", &listen.to_string()),
    ] {
        let (verdict, what, _) = found.about(check, subject);
        assert_eq!(verdict, "ok", "{check} {subject}: {what}");
    }
}

#[test]
fn heavy_the_doctor_fails_where_the_daemon_would() {
    let Some(redis) = Redis::start() else { return };
    let dir = tempfile::tempdir().expect("directory");
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let nobody = nobody.expect("a free port");
    redis.set_config("requirepass", "the right one");
    let url = redis.url().replace("redis://", "redis://:wrong@");
    let config = format!(
        "[run]\nexchange = [\"binance\"]\nsymbols = [\"BTCUSDT\"]\n\
         [http]\nlisten = \"192.0.2.1:8443\"\ntls_cert = \"{0}/cert.pem\"\ntls_key = \"{0}/key.pem\"\n\
         [store]\nurl = \"{url}\"\n\
         [venues.binance]\nrest = \"http://{nobody}\"\nws = \"ws://{nobody}\"\n",
        dir.path().display()
    );
    let output = doctor(dir.path(), &config, None, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "something is to be mended");
    let found = Findings::of(&output);
    each_has_a_fix(&found);
    assert_eq!(found.0["verdict"], "fail");
    for (check, subject, fix) in [
        ("venue", "binance", "curl"),
        ("store", "127.0.0.1", "password"),
        ("keys", "TLS key", "path"),
        ("port", "192.0.2.1", "--listen"),
    ] {
        let (verdict, what, fixed) = found.about(check, subject);
        assert_eq!(verdict, "fail", "{check} {subject}: {what}");
        assert!(fixed.contains(fix), "{check} {subject}: {fixed}");
    }
    // The password is in no finding.
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        !text.contains("wrong@") && !text.contains(":wrong"),
        "{text}"
    );
}
