//! What systemd's journal gets, from the real binary: in a mount namespace, where the socket is ours.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use super::client::wait_books;
use super::process::{HEAN, HUNG, Process, command};
use super::trader::{SYMBOLS, arguments, market};

/// Puts a directory in the journal's place, then becomes the program, whose stderr is the journal's if
/// the first argument says so.
const SERVICE: &str = r#"
mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$0" /run/systemd/journal || exit 97
[ "$1" = journal ] && export JOURNAL_STREAM="$(stat -L -c %d:%i /proc/self/fd/2)" || export JOURNAL_STREAM=1:2
shift
exec "$@"
"#;

fn in_namespace(socket_dir: &Path, stderr: &str, program: &[String]) -> Command {
    let mut command = command("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", SERVICE]);
    command.arg(socket_dir).arg(stderr).args(program);
    command
}

#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn heavy_the_journal_gets_what_is_logged_with_its_fields() {
    let dir = tempfile::tempdir().expect("directory");
    let sockets = dir.path().join("sockets");
    std::fs::create_dir(&sockets).expect("directory");
    let socket = UnixDatagram::bind(sockets.join("socket")).expect("a socket");
    socket.set_read_timeout(Some(HUNG)).expect("a timeout");
    let nothing = ["true".to_owned()];
    if !in_namespace(&sockets, "journal", &nothing)
        .output()
        .is_ok_and(|output| output.status.success())
    {
        // Some sandboxes forbid it, whatever is installed.
        println!("skipped: no mount namespaces here");
        return;
    }
    let market = market();
    let start = |stderr, data: &str| {
        let mut program = vec![HEAN.to_owned()];
        program.extend(arguments(market.addr(), &dir.path().join(data)));
        let mut daemon = Process::run(&mut in_namespace(&sockets, stderr, &program));
        daemon.wait_listening();
        wait_books(daemon.addr(), &SYMBOLS);
        daemon
    };
    let mut daemon = start("journal", "one");
    let mut buffer = vec![0; 65_536];
    let mut entry = || {
        let length = socket.recv(&mut buffer).expect("an entry");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let up = loop {
        let entry = entry();
        if entry.contains(" is up: curl http://") {
            break entry;
        }
    };
    for line in [
        "PRIORITY=6",
        "SYSLOG_IDENTIFIER=hean",
        "TARGET=hean::daemon",
        "HEAN_MODE=paper",
        "HEAN_SYMBOLS=sim:BTCUSDT,sim:ETHUSDT",
    ] {
        assert!(up.lines().any(|l| l == line), "{line}: {up}");
    }
    daemon.signal("TERM");
    // Read to the end: an entry that nobody takes is waited for.
    while !entry().contains("MESSAGE=the journal is complete seq=") {}
    assert_eq!(daemon.wait(HUNG).code(), Some(0));
    assert_eq!(daemon.log(), "", "said twice");
    // Where stderr has been sent elsewhere, that is where logs belong.
    let elsewhere = start("file", "two");
    assert_eq!(elsewhere.terminate(HUNG).code(), Some(0));
    socket.set_nonblocking(true).expect("a socket");
    let mut buffer = vec![0; 65_536];
    let left: Vec<String> = std::iter::from_fn(|| socket.recv(&mut buffer).ok())
        .map(|n| n.to_string())
        .collect();
    assert!(left.is_empty(), "{} entries", left.len());
}
