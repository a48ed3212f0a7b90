//! The real binary, run to its end, killed on its way, or asked to end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

/// What never comes is given up after this. Nothing is measured by it.
const HUNG: Duration = Duration::from_mins(1);

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect(&self.err)
    }

    /// Ended well.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }
}

/// The binary with an environment of its own.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hean"));
    command
        .arg("keydb")
        .args(args)
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) async fn hean(args: &[&str]) -> Ended {
    run(command(args)).await
}

/// Runs a prepared command to its end.
pub(crate) async fn run(mut command: Command) -> Ended {
    // Gates and translators live on this thread.
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("a thread").expect("it starts");
    Ended {
        code: output.status.code().expect("it was not killed"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A run that goes on. Dropping it kills it.
pub(crate) struct Running {
    child: Option<Child>,
    lines: mpsc::UnboundedReceiver<String>,
    said: String,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().expect("it starts");
        let err = BufReader::new(child.stderr.take().expect("stderr"));
        let (say, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return; // nobody listens any more
                }
            }
        });
        Self {
            child: Some(child),
            lines,
            said: String::new(),
        }
    }

    /// Returns when it has said a line with `word` in it.
    pub(crate) async fn until(&mut self, word: &str) {
        let heard = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push_str(&line);
                self.said.push('\n');
                if line.contains(word) {
                    return true;
                }
            }
            false
        };
        let heard = tokio::time::timeout(HUNG, heard).await;
        assert_eq!(heard, Ok(true), "{word} was not said:\n{}", self.said);
    }

    /// `kill -9`, in the middle of its work.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().expect("it runs");
        assert_eq!(
            child.try_wait().expect("a child"),
            None,
            "it has ended by itself"
        );
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.expect("kill").success());
    }

    /// SIGTERM, and its end.
    pub(crate) async fn ended(mut self) -> Ended {
        self.terminate();
        let mut child = self.child.take().expect("it runs");
        let wait = tokio::task::spawn_blocking(move || {
            let mut out = String::new();
            let mut stdout = child.stdout.take().expect("stdout");
            stdout.read_to_string(&mut out).expect("UTF-8");
            (child.wait().expect("it ends").code(), out)
        });
        let (code, out) = wait.await.expect("a thread");
        while let Some(line) = self.lines.recv().await {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        Ended {
            code: code.expect("a code"),
            out,
            err: std::mem::take(&mut self.said),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which is fine.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Looks until there is something to see.
pub(crate) async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let looked = async {
        let mut again = tokio::time::interval(Duration::from_millis(5));
        while !look().await {
            again.tick().await;
        }
    };
    assert!(
        tokio::time::timeout(HUNG, looked).await.is_ok(),
        "never came: {what}"
    );
}
