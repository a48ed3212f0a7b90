//! What systemd is told over its socket.

use std::os::unix::net::UnixDatagram;

use super::client::wait_books;
use super::process::{HEAN, HUNG, Process, command};
use super::trader::{SYMBOLS, arguments, market};

/// Messages until one of them has this line.
fn wait_for(socket: &UnixDatagram, line: &str) {
    let mut buffer = [0; 4_096];
    loop {
        let length = socket.recv(&mut buffer);
        let length = length.unwrap_or_else(|e| panic!("{line} never came: {e}"));
        let message = String::from_utf8_lossy(&buffer[..length]);
        if message.lines().any(|l| l == line) {
            return;
        }
    }
}

#[test]
fn heavy_systemd_is_told_of_readiness_life_and_end() {
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(HUNG)).expect("a timeout");
    // The watchdog is meant for one process: the shell becomes it, so its id is known before.
    let mut command = command("sh");
    command
        .args(["-c", r#"WATCHDOG_PID=$$ exec "$0" "$@""#, HEAN])
        .args(arguments(market.addr(), &dir.path().join("data")))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "600000");
    let mut daemon = Process::run(&mut command);
    wait_for(&socket, "READY=1");
    daemon.wait_listening(); // was printed before
    wait_books(daemon.addr(), &SYMBOLS[..1]);
    wait_for(&socket, "WATCHDOG=1");
    wait_for(&socket, "WATCHDOG=1");
    daemon.signal("TERM");
    wait_for(&socket, "STOPPING=1");
    assert_eq!(daemon.wait(HUNG).code(), Some(0));
}
