//! Replies from bytes: a decoder without I/O that goes on where it stopped, however the bytes are
//! cut. What a server announces is never believed before its bytes are there.

/// Longest line: a status, an error, a number.
const LINE_MAX: usize = 64 << 10;
/// Longest string: the protocol's own limit.
const BULK_MAX: usize = 512 << 20;
/// Arrays within arrays: `XINFO STREAM FULL` has six levels.
const DEPTH_MAX: usize = 16;
/// Memory of one reply, counted with what its parts cost.
const REPLY_MAX: usize = 1 << 30;
/// What is set aside for an array before its items are there.
const ITEMS_AHEAD: usize = 1_024;
/// Room that is made for the next read.
const READ_AHEAD: usize = 64 << 10;
/// A buffer that grew beyond this for one long string is given back.
const BUFFER_KEPT: usize = 1 << 20;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status or a string.
    Bytes(Vec<u8>),
    /// A number.
    Int(i64),
    /// Nothing.
    Nil,
    /// A list.
    Array(Vec<Reply>),
    /// The server's refusal.
    Error(String),
}

impl Reply {
    /// The bytes, if it is some.
    pub fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Int(_) | Self::Nil | Self::Array(_) | Self::Error(_) => None,
        }
    }

    /// The number, written as one or as text.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            Self::Nil | Self::Array(_) | Self::Error(_) => None,
        }
    }

    /// The items, if it is a list.
    pub fn array(self) -> Option<Vec<Reply>> {
        match self {
            Self::Array(items) => Some(items),
            Self::Int(_) | Self::Nil | Self::Bytes(_) | Self::Error(_) => None,
        }
    }

    /// The refusal, if it is one.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            Self::Int(_) | Self::Nil | Self::Bytes(_) | Self::Array(_) => None,
        }
    }
}

/// Bytes that are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first byte of a reply is none that RESP2 has.
    #[error("a reply begins with byte {0:#04x}")]
    Kind(u8),
    /// A number is none.
    #[error("a length or number cannot be read")]
    Number,
    /// A line has no end, or a string another one than announced.
    #[error("a reply is not ended as it should be")]
    End,
    /// Longer, deeper or larger than anything that was asked for.
    #[error("a reply is longer than {REPLY_MAX} bytes or nested deeper than {DEPTH_MAX} levels")]
    Size,
}

/// An array whose items are still coming.
#[derive(Debug)]
struct Open {
    left: usize,
    items: Vec<Reply>,
}

/// Reads replies out of bytes that arrive in pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    at: usize,
    open: Vec<Open>,
    held: usize,
}

/// A line or a string that is there in full.
enum Part {
    Reply(Reply),
    Array(usize),
}

impl Decoder {
    /// Where the next bytes are to be appended.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            if self.buffer.capacity() > BUFFER_KEPT {
                self.buffer = Vec::new();
            }
        } else if self.at > self.buffer.len() / 2 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.reserve(READ_AHEAD);
        &mut self.buffer
    }

    /// Whether nothing is begun.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.at == self.buffer.len()
    }

    /// The next whole reply; `None` when more bytes are needed.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, Malformed> {
        loop {
            let Some(part) = self.part()? else {
                return Ok(None);
            };
            self.held = self.held.saturating_add(size_of::<Reply>());
            let mut done = match part {
                Part::Array(0) => Reply::Array(Vec::new()),
                Part::Array(left) => {
                    if self.open.len() >= DEPTH_MAX {
                        return Err(Malformed::Size);
                    }
                    let items = Vec::with_capacity(left.min(ITEMS_AHEAD));
                    self.open.push(Open { left, items });
                    continue;
                }
                Part::Reply(reply) => reply,
            };
            if self.held > REPLY_MAX {
                return Err(Malformed::Size);
            }
            // Closes every array that this was the last item of.
            loop {
                let Some(mut open) = self.open.pop() else {
                    self.held = 0;
                    return Ok(Some(done));
                };
                open.items.push(done);
                open.left -= 1;
                if open.left > 0 {
                    self.open.push(open);
                    break;
                }
                done = Reply::Array(open.items);
            }
        }
    }

    fn part(&mut self) -> Result<Option<Part>, Malformed> {
        let rest = &self.buffer[self.at..];
        let Some((kind, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(Malformed::Kind(*kind));
        }
        let Some(line) = rest.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
            return if rest.len() >= LINE_MAX {
                Err(Malformed::End)
            } else {
                Ok(None)
            };
        };
        let text = rest[..line].strip_suffix(b"\r").ok_or(Malformed::End)?;
        let after = self.at + 1 + line + 1;
        let part = match kind {
            b'+' => Part::Reply(Reply::Bytes(text.to_vec())),
            b'-' => Part::Reply(Reply::Error(String::from_utf8_lossy(text).into_owned())),
            b':' => Part::Reply(Reply::Int(number(text)?)),
            _ => match (kind, number(text)?) {
                (_, -1) => Part::Reply(Reply::Nil),
                (kind, announced) => {
                    let length = usize::try_from(announced).map_err(|_| Malformed::Number)?;
                    if *kind == b'$' {
                        return self.bulk(after, length);
                    }
                    if length > REPLY_MAX / size_of::<Reply>() {
                        return Err(Malformed::Size);
                    }
                    Part::Array(length)
                }
            },
        };
        self.at = after;
        self.held = self.held.saturating_add(line);
        Ok(Some(part))
    }

    fn bulk(&mut self, from: usize, length: usize) -> Result<Option<Part>, Malformed> {
        if length > BULK_MAX {
            return Err(Malformed::Size);
        }
        let end = from + length;
        let Some(text) = self.buffer.get(from..end + 2) else {
            return Ok(None);
        };
        let Some(text) = text.strip_suffix(b"\r\n") else {
            return Err(Malformed::End);
        };
        let reply = Reply::Bytes(text.to_vec());
        self.at = end + 2;
        self.held = self.held.saturating_add(length);
        Ok(Some(Part::Reply(reply)))
    }
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Number)?;
    text.parse().map_err(|_| Malformed::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], piece: usize) -> Result<Vec<Reply>, Malformed> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            decoder.space().extend_from_slice(piece);
            while let Some(reply) = decoder.next_reply()? {
                out.push(reply);
            }
        }
        Ok(out)
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

    fn replies() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Reply::Bytes),
            any::<i64>().prop_map(Reply::Int),
            Just(Reply::Nil),
            "[A-Z]{1,8} [a-z ]{0,20}".prop_map(Reply::Error),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            proptest::collection::vec(inner, 0..6).prop_map(Reply::Array)
        })
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        let bytes =
            b"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n:1\r\n*1\r\n+x\r\n";
        let want = [
            Reply::Bytes(b"OK".to_vec()),
            Reply::Error("ERR no".to_owned()),
            Reply::Int(-7),
            Reply::Bytes(b"a\r\n".to_vec()),
            Reply::Nil,
            Reply::Nil,
            Reply::Array(Vec::new()),
            Reply::Array(vec![
                Reply::Int(1),
                Reply::Array(vec![Reply::Bytes(b"x".to_vec())]),
            ]),
        ];
        for piece in 1..bytes.len() {
            assert_eq!(all(bytes, piece).as_deref(), Ok(&want[..]), "{piece}");
        }
    }

    #[test]
    fn what_no_server_may_say_is_refused() {
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 1);
        let endless = [b"+".to_vec(), vec![b'x'; LINE_MAX + 1]].concat();
        for (bytes, want) in [
            (&b"?3\r\n"[..], Malformed::Kind(b'?')),
            (b":12a\r\n", Malformed::Number),
            (b"$-2\r\n", Malformed::Number),
            (b"$3\r\nabcde", Malformed::End),
            (b"+OK\n", Malformed::End),
            (b"$999999999999\r\n", Malformed::Size),
            (b"*999999999999\r\n", Malformed::Size),
            (&deep, Malformed::Size),
            (&endless, Malformed::End),
        ] {
            assert_eq!(all(bytes, 7), Err(want));
        }
    }

    #[test]
    fn a_large_announcement_takes_no_memory() {
        let mut decoder = Decoder::default();
        decoder
            .space()
            .extend_from_slice(b"*30000000\r\n$536870912\r\n");
        assert_eq!(decoder.next_reply(), Ok(None));
        assert!(decoder.buffer.capacity() < 1 << 20);
        assert!(decoder.open[0].items.capacity() <= ITEMS_AHEAD);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            want in proptest::collection::vec(replies(), 1..8),
            piece in 1_usize..50,
        ) {
            let mut bytes = Vec::new();
            for reply in &want {
                encode(reply, &mut bytes);
            }
            prop_assert_eq!(all(&bytes, piece), Ok(want));
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
            drop(all(&bytes, piece));
            let mut shaped = b"*3\r\n$5\r\n".to_vec();
            shaped.extend_from_slice(&bytes);
            drop(all(&shaped, piece));
        }
    }
}
