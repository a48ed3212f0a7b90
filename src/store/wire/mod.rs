//! The protocol of Redis and KeyDB, raw: commands out by the thousand, replies in, everything
//! bounded. The tools (`hean keydb …`) use it where fred's one task a command costs too much.

mod address;
mod connection;
mod decode;
mod error;

pub use address::Address;
pub(crate) use connection::time_us;
pub use connection::{Connection, Facts, Peer};
pub use decode::{Decoder, Malformed, Reply};
pub use error::WireError;

/// Commands on their way out, encoded.
#[derive(Debug, Default, Clone)]
pub struct Commands {
    out: Vec<u8>,
    count: usize,
}

impl Commands {
    /// Appends a command with its arguments.
    pub fn push(&mut self, args: &[&[u8]]) {
        self.open(args.len());
        for arg in args {
            self.arg(arg);
        }
    }

    /// Begins a command of `args` words, its name included; [`Commands::arg`] must follow as often.
    pub fn open(&mut self, args: usize) {
        self.count += 1;
        self.number(b'*', args);
    }

    /// The next word of the command that was begun.
    pub fn arg(&mut self, arg: &[u8]) {
        self.number(b'$', arg.len());
        self.out.extend_from_slice(arg);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Replies that these commands bring.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Encoded size, in bytes.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Forgets all of them and keeps the memory.
    pub fn clear(&mut self) {
        self.out.clear();
        self.count = 0;
    }

    /// What goes over the wire.
    pub fn encoded(&self) -> &[u8] {
        &self.out
    }

    fn number(&mut self, kind: u8, number: usize) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut left = number;
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.out.push(kind);
        self.out.extend_from_slice(&digits[at..]);
        self.out.extend_from_slice(b"\r\n");
    }
}
