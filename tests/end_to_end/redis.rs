//! A redis-server of our own that can be killed and started again, and a small RESP client.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::process::{HUNG, skip, until};

/// A redis-server that keeps its data over restarts.
pub(crate) struct Redis {
    child: Option<Child>,
    port: u16,
    dir: tempfile::TempDir,
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    List(Vec<Value>),
    Nothing,
}

impl Value {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    fn list(self) -> Vec<Self> {
        match self {
            Self::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }
}

impl Redis {
    /// Starts one; `None` (said so) where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        if version.is_err() {
            skip("no redis-server");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let mut server = Self {
            child: None,
            port,
            dir: tempfile::tempdir().expect("directory"),
        };
        server.start_again();
        Some(server)
    }

    /// Starts it with the data that it had; returns when it answers.
    pub(crate) fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--save", "", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        self.child = Some(child);
        until("an answer of redis-server", || {
            (self.try_call(&["PING"]).ok()? == Value::Text("PONG".to_owned())).then_some(())
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Changes a setting of the running server.
    pub(crate) fn set_config(&self, setting: &str, value: &str) {
        self.call(&["CONFIG", "SET", setting, value]);
    }

    fn call(&self, command: &[&str]) -> Value {
        let answer = self.try_call(command);
        answer.unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    fn try_call(&self, command: &[&str]) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(HUNG))?;
        write!(stream, "*{}\r\n", command.len())?;
        for word in command {
            write!(stream, "${}\r\n{word}\r\n", word.len())?;
        }
        read(&mut BufReader::new(stream))
    }

    /// A hash.
    pub(crate) fn hash(&self, key: &str) -> BTreeMap<String, String> {
        let flat = self.call(&["HGETALL", key]).list();
        let mut words = flat.into_iter().map(Value::text);
        let mut out = BTreeMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            out.insert(name, value);
        }
        out
    }

    /// A set, in order.
    pub(crate) fn set(&self, key: &str) -> Vec<String> {
        let members = self.call(&["SMEMBERS", key]).list();
        let mut members: Vec<String> = members.into_iter().map(Value::text).collect();
        members.sort();
        members
    }

    /// The ids of a whole stream.
    pub(crate) fn stream_ids(&self, key: &str) -> Vec<String> {
        let entries = self.call(&["XRANGE", key, "-", "+"]).list();
        entries
            .into_iter()
            .map(|entry| entry.list().swap_remove(0).text())
            .collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// One value of the protocol.
fn read(from: &mut BufReader<TcpStream>) -> std::io::Result<Value> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    let number = || rest.parse::<i64>().map_err(std::io::Error::other);
    Ok(match kind {
        "+" => Value::Text(rest.to_owned()),
        ":" => Value::Integer(number()?),
        "$" | "*" if rest == "-1" => Value::Nothing,
        "$" => {
            let length = usize::try_from(number()?).map_err(std::io::Error::other)?;
            let mut text = vec![0; length + 2];
            from.read_exact(&mut text)?;
            text.truncate(length);
            Value::Text(String::from_utf8(text).map_err(std::io::Error::other)?)
        }
        "*" => {
            let count = number()?;
            let values = (0..count).map(|_| read(from));
            Value::List(values.collect::<std::io::Result<_>>()?)
        }
        _ => return Err(std::io::Error::other(line)), // an error: loading its data, perhaps
    })
}
