//! What stands between: a gate that lets so many bytes through and no more, and a server of another
//! make, which a real one behind a translator plays.

use std::collections::VecDeque;
use std::sync::Arc;

use hean::store::wire::{Decoder, Reply};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Lets bytes through to a server, up to a limit; then nothing, until it is dropped.
pub(crate) struct Gate {
    pub(crate) port: u16,
    shut: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    pub(crate) async fn start(server: u16, limit: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        let (closing, shut) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut left = limit;
            // One connection writes to the target.
            let (mut client, _) = listener.accept().await.expect("accept");
            let mut server = TcpStream::connect(("127.0.0.1", server))
                .await
                .expect("server");
            let (mut ask, mut answer) = (vec![0; 1 << 14], vec![0; 1 << 16]);
            loop {
                tokio::select! {
                    read = client.read(&mut ask), if left > 0 => {
                        let read = read.unwrap_or(0);
                        if read == 0 { return; }
                        let through = read.min(left);
                        left -= through;
                        server.write_all(&ask[..through]).await.expect("server");
                        if left == 0 { closing.send_replace(true); }
                    }
                    read = server.read(&mut answer) => {
                        let read = read.unwrap_or(0);
                        if read == 0 || client.write_all(&answer[..read]).await.is_err() { return; }
                    }
                }
            }
        });
        Self { port, shut, task }
    }

    /// Returns when the limit is reached.
    pub(crate) async fn until_shut(&mut self) {
        self.shut
            .wait_for(|shut| *shut)
            .await
            .expect("the gate is reached");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a translated server differs from the real one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Make {
    /// `DUMP` writes a version that nobody reads.
    pub(crate) newer_dumps: bool,
    /// Its clock is ahead, in seconds.
    pub(crate) ahead_s: i64,
}

/// Starts a translator before a server; returns its port.
pub(crate) async fn translate(server: u16, make: Make) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server))
                .await
                .expect("server");
            tokio::spawn(translator(client, server, make));
        }
    });
    port
}

async fn translator(client: TcpStream, server: TcpStream, make: Make) {
    let names: Arc<Mutex<VecDeque<Vec<u8>>>> = Arc::default();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asked = Arc::clone(&names);
    let ask = async move {
        let mut decoder = Decoder::default();
        let mut bytes = vec![0; 1 << 16];
        loop {
            let read = from_client.read(&mut bytes).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            decoder.space().extend_from_slice(&bytes[..read]);
            while let Some(command) = decoder.next_reply().expect("commands") {
                let name = command
                    .array()
                    .expect("words")
                    .swap_remove(0)
                    .bytes()
                    .expect("name");
                asked.lock().push_back(name);
            }
            to_server.write_all(&bytes[..read]).await.expect("server");
        }
    };
    let answer = async move {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        loop {
            if from_server.read_buf(decoder.space()).await.unwrap_or(0) == 0 {
                return;
            }
            out.clear();
            while let Some(reply) = decoder.next_reply().expect("replies") {
                let name = names.lock().pop_front().expect("a command");
                encode(&changed(reply, &name, make), &mut out);
            }
            if to_client.write_all(&out).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(ask, answer);
}

fn changed(reply: Reply, name: &[u8], make: Make) -> Reply {
    match (name, reply) {
        (b"DUMP", Reply::Bytes(mut payload)) if make.newer_dumps => {
            // Two bytes of version before eight of checksum.
            let at = payload.len() - 10;
            payload[at] = 0xff;
            Reply::Bytes(payload)
        }
        (b"TIME", Reply::Array(mut parts)) => {
            let seconds = parts[0].int().expect("seconds") + make.ahead_s;
            parts[0] = Reply::Bytes(seconds.to_string().into_bytes());
            Reply::Array(parts)
        }
        (_, reply) => reply,
    }
}

fn encode(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Bytes(bytes) => {
            out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Int(int) => out.extend_from_slice(format!(":{int}\r\n").as_bytes()),
        Reply::Nil => out.extend_from_slice(b"$-1\r\n"),
        Reply::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
        Reply::Array(items) => {
            out.extend_from_slice(format!("*{}\r\n", items.len()).as_bytes());
            for item in items {
                encode(item, out);
            }
        }
    }
}
