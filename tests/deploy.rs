//! The files that operators copy: keydb.conf, the systemd unit, the Prometheus configuration.
//! Each is held against the program that will read it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Directives that KeyDB reads at its start and that `CONFIG GET` does not show.
const STARTUP_ONLY: [&str; 1] = ["server-threads"];

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// Skips aloud; in CI a missing tool or file is a failure.
#[expect(clippy::print_stdout, reason = "the only channel of a test")]
fn skip(what: &str) {
    assert!(!ci(), "{what} is missing, and CI is set");
    println!("skipped: no {what}");
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Directives of keydb.conf: name and arguments.
fn directives() -> Vec<(String, String)> {
    let text = fs::read_to_string(repo("keydb.conf")).expect("keydb.conf");
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

#[test]
fn no_comment_stands_behind_a_value() {
    let rows = directives();
    assert!(rows.len() > 30, "only {} directives", rows.len());
    for (name, value) in rows {
        assert!(!value.contains('#'), "{name} {value}");
    }
}

#[test]
fn every_directive_has_a_comment_above_its_group() {
    let text = fs::read_to_string(repo("keydb.conf")).expect("keydb.conf");
    let mut explained = false;
    for line in text.lines() {
        if line.is_empty() {
            explained = false;
        } else if line.starts_with('#') {
            explained = true;
        } else {
            assert!(explained, "no comment above: {line}");
        }
    }
}

#[test]
fn keydb_knows_every_directive() {
    let data =
        std::env::var_os("HEAN_TEST_DATA").map_or_else(|| repo("../shared/data"), PathBuf::from);
    let list = data.join("../keydb-6.3-config.txt");
    let Ok(text) = fs::read_to_string(&list) else {
        return skip(&format!("recordings ({})", list.display()));
    };
    let known: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').next())
        .chain(STARTUP_ONLY)
        .collect();
    assert!(known.len() > 150, "the list is cut: {}", known.len());
    for (name, _) in directives() {
        assert!(known.contains(name.as_str()), "KeyDB does not know {name}");
    }
}

/// A server that ends with the test.
struct Server {
    process: Child,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl Server {
    /// Starts redis-server with these lines, on a socket file alone.
    fn start(lines: &str) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let socket = dir.path().join("redis.sock");
        let config = dir.path().join("redis.conf");
        let text = format!("{lines}\nport 0\nunixsocket {}\n", socket.display());
        fs::write(&config, text).expect("configuration");
        let mut process = Command::new("redis-server")
            .arg(&config)
            .current_dir(dir.path())
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server");
        let mut log = String::new();
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| {
            log.push_str(&line);
            log.push('\n');
            line.to_ascii_lowercase().contains("accept connections")
        });
        assert!(ready, "redis-server refused the configuration:\n{log}");
        // A full pipe would stop the server: read on until it ends.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            process,
            socket,
            _dir: dir,
        }
    }

    /// Sends commands on one connection and returns everything that is answered.
    fn ask(&self, commands: &[&str]) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("connect");
        for command in commands {
            stream
                .write_all(format!("{command}\r\n").as_bytes())
                .expect("send");
        }
        stream.write_all(b"QUIT\r\n").expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }
}

/// The shipped configuration without what Redis does not know.
fn for_redis() -> String {
    directives()
        .into_iter()
        .filter(|(name, _)| !STARTUP_ONLY.contains(&name.as_str()) && name != "port")
        .map(|(name, value)| format!("{name} {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_real_server_takes_it_and_keeps_what_it_says() {
    if !installed("redis-server") {
        return skip("redis-server");
    }
    let server = Server::start(&for_redis());
    for (key, want) in [
        ("save", "900 1 300 100 60 10000"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", "2147483648"),
        ("protected-mode", "yes"),
        ("stop-writes-on-bgsave-error", "yes"),
        ("bind", "127.0.0.1 -::1"),
    ] {
        let answer = server.ask(&[&format!("CONFIG GET {key}")]);
        let line = format!("\r\n{want}\r\n");
        assert!(answer.contains(&line), "{key}: {answer}");
    }
}

#[test]
fn the_prepared_user_can_do_its_work_and_no_harm() {
    if !installed("redis-server") {
        return skip("redis-server");
    }
    let text = fs::read_to_string(repo("keydb.conf")).expect("keydb.conf");
    let users: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with("user "))
        .collect();
    assert_eq!(users.len(), 2, "{users:?}");
    let server = Server::start(&format!("{}\n{}", for_redis(), users.join("\n")));
    let anonymous = server.ask(&["GET hean:x"]);
    assert!(anonymous.contains("NOAUTH"), "{anonymous}");
    let login = "AUTH hean CHANGE-ME";
    for legal in [
        "PING",
        "INFO server",
        "CONFIG GET save",
        "XADD {hean:default}:events 1-0 a b",
        "HSET {hean:default}:order:1 a b",
        "SCRIPT LOAD return",
    ] {
        let answer = server.ask(&[login, legal]);
        assert!(!answer.contains("-NOPERM"), "{legal}: {answer}");
        assert!(answer.starts_with("+OK"), "{answer}");
    }
    for harmful in [
        "FLUSHALL",
        "CONFIG SET save x",
        "KEYS *",
        "SHUTDOWN",
        "SET other 1",
    ] {
        let answer = server.ask(&[login, harmful]);
        assert!(answer.contains("-NOPERM"), "{harmful}: {answer}");
    }
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_confined() {
    if !installed("systemd-analyze") {
        return skip("systemd-analyze");
    }
    let text = fs::read_to_string(repo("deploy/systemd/hean.service")).expect("unit");
    assert!(text.contains("ExecStart=hean run --config /etc/hean/hean.toml\n"));
    // systemd wants the program to exist.
    let dir = tempfile::tempdir().expect("directory");
    let unit = dir.path().join("hean.service");
    let text = text.replace("ExecStart=hean ", "ExecStart=/bin/true ");
    fs::write(&unit, text).expect("unit");
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8_lossy(&verify.stderr);
    // Other units of the machine may be at fault; ours must not be named.
    assert!(verify.status.success(), "{said}");
    assert!(!said.contains("hean"), "{said}");
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=12"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8_lossy(&security.stdout);
    assert!(security.status.success(), "exposure above 1.2:\n{said}");
}

#[test]
fn prometheus_accepts_its_configuration() {
    let path = repo("deploy/prometheus/prometheus.yml");
    let text = fs::read_to_string(&path).expect("prometheus.yml");
    assert!(text.contains("127.0.0.1:8080"));
    if !installed("promtool") {
        return skip("promtool");
    }
    let check = Command::new("promtool")
        .args(["check", "config"])
        .arg(path)
        .output()
        .expect("promtool");
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
}
