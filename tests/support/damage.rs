//! Damaged frames: cuts, flipped bits, changed bytes, and changes to the tree that they are.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use crate::reference::Node;

pub(crate) fn pick(rng: &mut ChaCha8Rng, below: usize) -> usize {
    usize::try_from(rng.next_u64() % below.max(1) as u64).expect("small")
}

/// `frame` with one thing wrong with it, or with more.
pub(crate) fn damage(rng: &mut ChaCha8Rng, frame: &str) -> Vec<u8> {
    let mut bytes = frame.as_bytes().to_vec();
    let at = pick(rng, bytes.len());
    match pick(rng, 12) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << pick(rng, 8),
        2 => {
            for _ in 0..=pick(rng, 4) {
                let at = pick(rng, bytes.len());
                bytes[at] = b"{}[],:\"\\0123456789.-eE tfnuUabs"[pick(rng, 31)];
            }
        }
        3 => {
            bytes.remove(at);
        }
        4 => bytes.insert(at, b"{}[],:\"\\09.-e "[pick(rng, 14)]),
        5 => {
            let nesting = if pick(rng, 200) == 0 {
                50_000
            } else {
                pick(rng, 20)
            };
            let value = match pick(rng, 2) {
                0 => "[".repeat(nesting) + "1" + &"]".repeat(nesting),
                _ => "{\"x\":".repeat(nesting) + "1" + &"}".repeat(nesting),
            };
            return with_tree(rng, frame, |pairs, pick| {
                let at = pick(pairs.len() + 1);
                pairs.insert(at, ("deep".to_owned(), Node::Raw(value.clone())));
            });
        }
        6 => {
            return with_tree(rng, frame, |pairs, pick| {
                if !pairs.is_empty() {
                    pairs.remove(pick(pairs.len()));
                }
            });
        }
        7 => {
            return with_tree(rng, frame, |pairs, pick| {
                if !pairs.is_empty() {
                    let pair = pairs[pick(pairs.len())].clone();
                    pairs.insert(pick(pairs.len() + 1), pair);
                }
            });
        }
        8 => {
            return with_tree(rng, frame, |pairs, pick| {
                for n in (1..pairs.len()).rev() {
                    pairs.swap(n, pick(n + 1));
                }
            });
        }
        9 | 10 => {
            let scalar = SCALARS[pick(rng, SCALARS.len())];
            return with_value(rng, frame, scalar);
        }
        _ => {
            let huge = "9".repeat(1 + pick(rng, 60));
            let text = match pick(rng, 4) {
                0 => huge,
                1 => format!("\"{huge}\""),
                2 => format!("\"0.{huge}\""),
                _ => format!("-{huge}"),
            };
            return with_value(rng, frame, &text);
        }
    }
    bytes
}

/// Values that some field, somewhere, might take for something else.
const SCALARS: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "-0",
    "1.0",
    "1e3",
    "\"\"",
    "\"0\"",
    "\"1\"",
    "\"-1\"",
    "\"1.\"",
    "\".5\"",
    "\"1e3\"",
    "\"0.00000000\"",
    "\"BTCUSDT\"",
    "\"trade\"",
    "[]",
    "{}",
    "[[\"1\",\"2\"]]",
    "[[\"1\"]]",
    "\"\\u0031\"",
    "9223372036854775808",
];

type Pairs = Vec<(String, Node)>;

/// `frame` with a change to one of its objects.
fn with_tree(
    rng: &mut ChaCha8Rng,
    frame: &str,
    change: impl FnMut(&mut Pairs, &mut dyn FnMut(usize) -> usize),
) -> Vec<u8> {
    let mut node = Node::parse(frame).expect("small");
    node.change_one(&mut |below| pick(rng, below), change);
    node.to_string().into_bytes()
}

/// `frame` with one value replaced.
fn with_value(rng: &mut ChaCha8Rng, frame: &str, value: &str) -> Vec<u8> {
    with_tree(rng, frame, |pairs, pick| {
        if !pairs.is_empty() {
            let at = pick(pairs.len());
            pairs[at].1 = Node::Raw(value.to_owned());
        }
    })
}
