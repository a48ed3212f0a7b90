//! `hean top` in a terminal of its own: drawn, quit, and the terminal given back, however it ends.

use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::client::wait_books;
use super::process::{HEAN, Process, command, until};

/// Gives the screen back and shows the cursor.
const LEAVES: &str = "\x1b[?1049l";

/// What stands on a screen of 80 by 24 after all that was written: only what differs is drawn, so a word
/// need not be written in one piece. Knows the moves of the cursor and no more.
fn screen(written: &str) -> String {
    let mut cells = vec![[' '; 80]; 24];
    let (mut row, mut column) = (0, 0);
    let mut rest = written;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '\x1b' {
            if let Some(cell) = cells.get_mut(row).and_then(|row| row.get_mut(column)) {
                *cell = c;
            }
            column += 1;
            continue;
        }
        let Some(sequence) = rest.strip_prefix('[') else {
            continue;
        };
        let Some(end) = sequence.find(|c: char| c.is_ascii_alphabetic()) else {
            break; // the rest of it is on its way
        };
        if sequence[end..].starts_with('H') {
            let at = |text: &str| text.parse::<usize>().unwrap_or(1).saturating_sub(1);
            let (line, place) = sequence[..end].split_once(';').unwrap_or(("1", "1"));
            (row, column) = (at(line), at(place));
        }
        rest = &sequence[end + 1..];
    }
    let lines = cells.iter().map(|row| row.iter().collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

struct Terminal {
    child: Child,
    /// Our end.
    control: File,
    /// The program's end.
    device: OwnedFd,
    written: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(args: &[&str]) -> Self {
        let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
        grantpt(&control).expect("granted");
        unlockpt(&control).expect("unlocked");
        let name = ptsname(&control, Vec::new()).expect("its name");
        let device = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().expect("UTF-8"))
            .expect("the other end");
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&control, size).expect("a size");
        let end = || Stdio::from(device.try_clone().expect("another handle"));
        let child = command(HEAN)
            .args(args)
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the binary starts");
        let control = File::from(control);
        let mut reading = control.try_clone().expect("another handle");
        let written = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&written);
        // Ends with the terminal.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                to.lock()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self {
            child,
            control,
            device: device.into(),
            written,
        }
    }

    fn shows(&self, word: &str) {
        until(&format!("{word} on the screen"), || {
            screen(&self.written.lock()).contains(word).then_some(())
        });
    }

    fn left(&self) {
        until("the terminal's own screen", || {
            self.written.lock().contains(LEAVES).then_some(())
        });
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.device).expect("a terminal").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn ended(&mut self) {
        let status = until("the end of hean top", || {
            self.child.try_wait().expect("a child")
        });
        assert!(status.success(), "{status:?}: {}", self.written.lock());
        self.left();
        assert!(!self.is_raw(), "the terminal was left in raw mode");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn heavy_top_takes_a_terminal_and_gives_it_back() {
    let daemon = Process::serve(&["run", "--demo", "--listen", "127.0.0.1:0"]);
    wait_books(daemon.addr(), &["BTCUSDT", "ETHUSDT"]);
    let server = daemon.addr().to_string();
    let top = || Terminal::start(&["top", "--server", &server]);

    let mut terminal = top();
    terminal.shows("sim:BTCUSDT");
    terminal.shows("Positions");
    assert!(terminal.is_raw());
    terminal.control.write_all(b"?").expect("a key");
    terminal.shows("give it the whole screen");
    terminal.control.write_all(b"?q").expect("keys");
    terminal.ended();

    let mut terminal = top();
    terminal.shows("sim:BTCUSDT");
    let pid = terminal.child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status();
    assert!(sent.expect("kill runs").success());
    terminal.ended();

    // A daemon that goes away is said; the view stays.
    let mut terminal = top();
    terminal.shows("sim:BTCUSDT");
    drop(daemon);
    terminal.shows("LOST");
    terminal.control.write_all(b"\x03").expect("Ctrl-C");
    terminal.ended();
}
