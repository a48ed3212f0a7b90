//! A connection: commands go out in one write, replies come back in order. Every wait has an end.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::{Address, Commands, Decoder, Reply, WireError};
use crate::venue::net::{Io, Net};

/// How long a server may be silent while it owes replies: a slow disk or a long fork, not an outage.
const SILENCE: Duration = Duration::from_secs(30);

/// A server that can be connected to, and what it said about itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    net: Net,
    address: Address,
    name: String,
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// A name that it draws at each start: cursors and unsaved data do not outlive it.
    pub run_id: String,
    /// Its version, as it writes it.
    pub version: String,
    /// Whether it is a node of a cluster.
    pub cluster: bool,
    /// Databases that hold keys, and how many.
    pub databases: Vec<(u16, u64)>,
}

impl Peer {
    /// A server at `address`; nothing is connected yet.
    pub fn new(net: Net, address: Address) -> Self {
        Self {
            name: address.to_string(),
            net,
            address,
        }
    }

    /// Host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database in its URL.
    pub fn db(&self) -> Option<u16> {
        self.address.db
    }

    /// Connects and logs in.
    pub async fn connect(&self) -> Result<Connection, WireError> {
        let endpoint = &self.address.endpoint;
        let io = self.net.connect(endpoint).await;
        let io = io.map_err(|error| WireError::Unreachable {
            server: self.name.clone(),
            why: error.to_string(),
        })?;
        let mut connection = Connection {
            io,
            decoder: Decoder::default(),
            name: self.name.clone(),
            db: 0,
        };
        match (&self.address.user, &self.address.password) {
            (Some(user), Some(password)) => {
                let auth = [&b"AUTH"[..], user.as_bytes(), password.as_bytes()];
                connection.ask(&auth).await?;
            }
            (_, Some(password)) => {
                connection.ask(&[b"AUTH", password.as_bytes()]).await?;
            }
            (_, None) => {}
        }
        connection.ask(&[b"PING"]).await?;
        Ok(connection)
    }
}

/// A connection to one server.
pub struct Connection {
    io: Box<dyn Io>,
    decoder: Decoder,
    name: String,
    db: u16,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}/{})", self.name, self.db)
    }
}

impl Connection {
    /// Host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends all of them and returns their replies, refusals among them.
    pub async fn send(&mut self, commands: &Commands) -> Result<Vec<Reply>, WireError> {
        let mut replies = Vec::with_capacity(commands.len());
        if commands.is_empty() {
            return Ok(replies);
        }
        self.write(commands).await?;
        while replies.len() < commands.len() {
            replies.push(self.reply().await?);
        }
        Ok(replies)
    }

    /// Sends one command; a refusal is an error.
    pub async fn ask(&mut self, args: &[&[u8]]) -> Result<Reply, WireError> {
        let mut commands = Commands::default();
        commands.push(args);
        self.write(&commands).await?;
        let reply = self.reply().await?;
        let command = args.first().copied().unwrap_or_default();
        match reply.error() {
            Some(text) => Err(self.refusal(command, text)),
            None => Ok(reply),
        }
    }

    /// Makes `db` the database of what follows.
    pub async fn select(&mut self, db: u16) -> Result<(), WireError> {
        if self.db != db {
            self.ask(&[b"SELECT", db.to_string().as_bytes()]).await?;
            self.db = db;
        }
        Ok(())
    }

    /// Who it is.
    pub async fn facts(&mut self) -> Result<Facts, WireError> {
        let reply = self.ask(&[b"INFO"]).await?;
        let text = reply
            .bytes()
            .ok_or_else(|| self.answer("INFO is no text"))?;
        let facts = Facts::parse(&String::from_utf8_lossy(&text));
        if facts.run_id.is_empty() {
            return Err(self.answer("INFO names no run_id"));
        }
        Ok(facts)
    }

    /// Its clock, in microseconds since the epoch.
    pub async fn time_us(&mut self) -> Result<i64, WireError> {
        let reply = self.ask(&[b"TIME"]).await?;
        time_us(&reply).ok_or_else(|| self.answer("TIME is no time"))
    }

    /// Writes commands without waiting for replies.
    pub async fn write(&mut self, commands: &Commands) -> Result<(), WireError> {
        let write = async {
            self.io.write_all(commands.encoded()).await?;
            self.io.flush().await
        };
        let written = timeout(SILENCE, write).await;
        let written = written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        written.map_err(|error| self.lost(&error.to_string()))
    }

    /// The next reply, of which one must be due.
    pub async fn reply(&mut self) -> Result<Reply, WireError> {
        loop {
            if let Some(reply) = self.decoded()? {
                return Ok(reply);
            }
            match timeout(SILENCE, self.io.read_buf(self.decoder.space())).await {
                Err(_) => return Err(self.lost("no answer for 30 s")),
                Ok(Ok(0)) => return Err(self.lost("it closed the connection")),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.lost(&error.to_string())),
            }
        }
    }

    /// The next message, however long it takes. Nothing is lost when this is dropped half-way.
    pub async fn message(&mut self) -> Result<Reply, WireError> {
        loop {
            if let Some(reply) = self.decoded()? {
                return Ok(reply);
            }
            match self.io.read_buf(self.decoder.space()).await {
                Ok(0) => return Err(self.lost("it closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(self.lost(&error.to_string())),
            }
        }
    }

    /// A reply that is no answer to what was asked.
    pub fn answer(&self, why: &str) -> WireError {
        WireError::Answer {
            server: self.name.clone(),
            why: why.to_owned(),
        }
    }

    /// A refusal as an error.
    pub fn refusal(&self, command: &[u8], text: &str) -> WireError {
        WireError::refusal(&self.name, command, text)
    }

    fn decoded(&mut self) -> Result<Option<Reply>, WireError> {
        let next = self.decoder.next_reply();
        next.map_err(|error| self.answer(&error.to_string()))
    }

    fn lost(&self, why: &str) -> WireError {
        WireError::Unreachable {
            server: self.name.clone(),
            why: why.to_owned(),
        }
    }
}

/// The time in a reply to `TIME`, in microseconds.
pub(crate) fn time_us(reply: &Reply) -> Option<i64> {
    let Reply::Array(parts) = reply else {
        return None;
    };
    let [seconds, micros] = parts.as_slice() else {
        return None;
    };
    seconds
        .int()?
        .checked_mul(1_000_000)?
        .checked_add(micros.int()?)
}

impl Facts {
    fn parse(text: &str) -> Self {
        let mut facts = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            match key {
                "run_id" => value.clone_into(&mut facts.run_id),
                "redis_version" => value.clone_into(&mut facts.version),
                "cluster_enabled" => facts.cluster = value == "1",
                _ => {
                    let keys = || value.strip_prefix("keys=")?.split(',').next()?.parse().ok();
                    let db = key.strip_prefix("db").and_then(|db| db.parse().ok());
                    if let (Some(db), Some(keys)) = (db, keys()) {
                        facts.databases.push((db, keys));
                    }
                }
            }
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_about_itself_is_read() {
        let facts = Facts::parse(
            "# Server\r\nredis_version:7.0.15\r\nrun_id:ab12\r\ncluster_enabled:1\r\ndbx:1\r\n\
             # Keyspace\r\ndb0:keys=12,expires=1,avg_ttl=0\r\ndb15:keys=3,expires=0\r\ndb3:keys=x\r\n",
        );
        let want = Facts {
            run_id: "ab12".to_owned(),
            version: "7.0.15".to_owned(),
            cluster: true,
            databases: vec![(0, 12), (15, 3)],
        };
        assert_eq!(facts, want);
    }

    #[test]
    fn the_time_is_two_numbers() {
        let two =
            |a: &str, b: &str| Reply::Array(vec![Reply::Bytes(a.into()), Reply::Bytes(b.into())]);
        assert_eq!(
            time_us(&two("1700000000", "42")),
            Some(1_700_000_000_000_042)
        );
        assert_eq!(time_us(&two("9223372036854775807", "1")), None);
        assert_eq!(time_us(&two("x", "1")), None);
        assert_eq!(time_us(&Reply::Nil), None);
    }
}
