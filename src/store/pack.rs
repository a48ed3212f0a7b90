//! MessagePack, as much of it as our scripts read: text, small numbers, lists. One argument for a whole batch is
//! several times cheaper than one for each text, for us as for the server.

use std::fmt::Display;
use std::io::Write as _;

/// A buffer that lists are written into, from front to back.
#[derive(Debug, Default)]
pub(crate) struct Pack {
    bytes: Vec<u8>,
    /// The list that is being written, if there is one.
    count: u32,
}

/// A list whose end is still to come.
#[must_use]
#[derive(Debug)]
pub(crate) struct Open {
    start: usize,
    outer: u32,
}

/// A list and its length, 32 bits.
const LIST: u8 = 0xdd;
/// Longest text whose length is in the byte before it; then a byte, two, or four follow.
const SHORT_MAX: usize = 31;

impl Pack {
    /// Begins a list.
    pub(crate) fn begin(&mut self) -> Open {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[LIST, 0, 0, 0, 0]);
        let outer = std::mem::take(&mut self.count);
        Open { start, outer }
    }

    /// Ends it; what was written since is in it.
    pub(crate) fn end(&mut self, list: &Open) {
        let length = self.count.to_be_bytes();
        let place = self.bytes.get_mut(list.start + 1..list.start + 5);
        place
            .expect("a list that was begun here")
            .copy_from_slice(&length);
        self.count = list.outer + 1;
    }

    /// A number.
    pub(crate) fn number(&mut self, number: u32) {
        self.count += 1;
        match u8::try_from(number) {
            Ok(small) if small < 0x80 => self.bytes.push(small),
            _ => {
                self.bytes.push(0xce);
                self.bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    /// What something looks like.
    pub(crate) fn text(&mut self, text: impl Display) {
        let written = self.written(|bytes| write!(bytes, "{text}"));
        written.expect("memory takes every text");
    }

    /// Text that `write` appends.
    pub(crate) fn written<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.push(0);
        write(&mut self.bytes)?;
        let length = self.bytes.len() - start - 1;
        self.count += 1;
        // Most texts are short. A longer head moves the text, which costs less than a text of its own.
        if length <= SHORT_MAX {
            let short = u8::try_from(length).expect("short");
            *self.bytes.get_mut(start).expect("pushed above") = 0xa0 | short;
        } else if let Ok(length) = u8::try_from(length) {
            self.bytes.splice(start..=start, [0xd9, length]);
        } else if let Ok(length) = u16::try_from(length) {
            let [a, b] = length.to_be_bytes();
            self.bytes.splice(start..=start, [0xda, a, b]);
        } else {
            let length = u32::try_from(length).expect("a text below 4 GiB");
            let [a, b, c, d] = length.to_be_bytes();
            self.bytes.splice(start..=start, [0xdb, a, b, c, d]);
        }
        Ok(())
    }

    /// Appends the elements that another one holds outside of any list.
    pub(crate) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    /// Bytes written until now.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::Pack;

    /// What is packed, in words; the other half of the format, written from its description.
    fn read(bytes: &mut &[u8], to: &mut String) {
        let mut take = |n: usize| {
            let (head, rest) = bytes.split_at(n);
            *bytes = rest;
            head.to_vec()
        };
        let number = |bytes: Vec<u8>| bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        let head = take(1)[0];
        let length = match head {
            0..=0x7f => return write!(to, "{head} ").expect("memory"),
            0xce => {
                let n = number(take(4));
                return write!(to, "{n} ").expect("memory");
            }
            0xdd => {
                let n = number(take(4));
                to.push('[');
                for _ in 0..n {
                    read(bytes, to);
                }
                return to.push_str("] ");
            }
            0xa0..=0xbf => usize::from(head & 31),
            0xd9 => number(take(1)),
            0xda => number(take(2)),
            0xdb => number(take(4)),
            _ => panic!("{head:x}"),
        };
        let text = String::from_utf8(take(length)).expect("UTF-8");
        write!(to, "'{text}' ").expect("memory");
    }

    #[test]
    fn lists_texts_and_numbers_of_every_length() {
        let mut pack = Pack::default();
        let mut expected = "[".to_owned();
        let outer = pack.begin();
        for length in [0, 1, 31, 32, 255, 256, 65_535, 65_536, 100_000] {
            let text = "ä".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
            assert_eq!(text.len(), length);
            pack.text(&text);
            write!(expected, "'{text}' ").expect("memory");
            let inner = pack.begin();
            pack.number(u32::try_from(length).expect("small"));
            pack.number(7);
            pack.end(&inner);
            write!(expected, "[{length} 7 ] ").expect("memory");
        }
        let mut more = Pack::default();
        more.text(1);
        more.text(2);
        pack.append(&more);
        pack.end(&outer);
        expected += "'1' '2' ] ";
        let bytes = pack.into_bytes();
        let (mut rest, mut found) = (&bytes[..], String::new());
        read(&mut rest, &mut found);
        assert!(rest.is_empty());
        assert_eq!(found, expected);
    }
}
