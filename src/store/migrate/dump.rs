//! Values as the servers serialise them: `DUMP` and `RESTORE`, exact to the last detail, streams with
//! their groups included. A target of another kind may refuse them; then they go by type.

use super::pair::{Key, Pair, Tally, Traits};
use super::ttl::{self, Expiry};
use crate::store::wire::{Commands, Connection, WireError};

/// A key as it was read.
#[derive(Debug)]
pub(crate) struct Dumped {
    pub(crate) key: Key,
    pub(crate) payload: Vec<u8>,
    /// By the target's clock.
    pub(crate) expiry: Expiry,
}

/// Keys of one group, read.
#[derive(Debug, Default)]
pub(crate) struct Dumps {
    pub(crate) dumped: Vec<Dumped>,
    pub(crate) gone: Vec<Key>,
    /// Keys that the source does not dump.
    pub(crate) refused: Vec<Key>,
}

/// Why a payload was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The target takes no payload of this source.
    All,
    /// It does not know this kind of value.
    This,
}

fn refusal(text: &str) -> Option<Refusal> {
    let text = text.to_ascii_lowercase();
    if text.contains("dump payload version") || text.contains("unknown command") {
        Some(Refusal::All)
    } else if text.contains("bad data format") {
        Some(Refusal::This)
    } else {
        None
    }
}

/// Reads keys, each at once.
pub(crate) async fn read(
    source: &mut Connection,
    traits: &Traits,
    keys: Vec<Key>,
) -> Result<Dumps, WireError> {
    let mut commands = Commands::default();
    for key in &keys {
        commands.push(&[b"DUMP", key]);
        if traits.source_moments {
            ttl::push_moment(&mut commands, key);
        }
    }
    let mut replies = source.send(&commands).await?.into_iter();
    let mut out = Dumps::default();
    let mut unknown = Vec::new();
    for key in keys {
        let dump = replies
            .next()
            .ok_or_else(|| source.answer("a reply is missing"))?;
        let expiry = if traits.source_moments {
            let expiry = replies.next().as_ref().and_then(ttl::moment);
            expiry.ok_or_else(|| source.answer("an expiry is no time"))?
        } else {
            Expiry::Never
        };
        if let Some(text) = dump.error() {
            if refusal(text).is_none() && !text.starts_with("NOPERM") {
                return Err(source.refusal(b"DUMP", text));
            }
            out.refused.push(key);
            continue;
        }
        match (dump.bytes(), expiry) {
            (None, _) | (_, Expiry::Gone) => out.gone.push(key),
            (Some(payload), expiry) => {
                let expiry = expiry.shifted(traits.offset.ms);
                unknown.push(Dumped {
                    key,
                    payload,
                    expiry,
                });
            }
        }
    }
    if !traits.source_moments {
        let keys: Vec<&[u8]> = unknown.iter().map(|d| d.key.as_slice()).collect();
        let expiries = ttl::expiries(source, false, &keys).await?;
        for (dumped, expiry) in unknown.iter_mut().zip(expiries) {
            dumped.expiry = expiry.shifted(traits.offset.ms);
        }
    }
    for dumped in unknown {
        if dumped.expiry == Expiry::Gone {
            out.gone.push(dumped.key);
        } else {
            out.dumped.push(dumped);
        }
    }
    Ok(out)
}

/// Writes them, each at once, and returns the keys whose payload the target does not take. After a
/// refusal that holds for all, `traits.by_type` is set.
pub(crate) async fn write(
    target: &mut Connection,
    traits: &mut Traits,
    dumped: Vec<Dumped>,
    tally: &mut Tally,
) -> Result<Vec<Key>, WireError> {
    let mut commands = Commands::default();
    for dumped in &dumped {
        let at = match dumped.expiry {
            Expiry::At(ms) => ms.to_string(),
            Expiry::Never | Expiry::Gone => "0".to_owned(),
        };
        let words: [&[u8]; 6] = [
            b"RESTORE",
            &dumped.key,
            at.as_bytes(),
            &dumped.payload,
            b"REPLACE",
            b"ABSTTL",
        ];
        commands.push(&words);
    }
    let replies = target.send(&commands).await?;
    let mut refused = Vec::new();
    for (dumped, reply) in dumped.into_iter().zip(replies) {
        let Some(text) = reply.error() else {
            tally.by_dump += 1;
            tally.bytes += dumped.payload.len() as u64;
            continue;
        };
        match refusal(text) {
            Some(Refusal::All) => traits.by_type = true,
            Some(Refusal::This) => {}
            None => return Err(target.refusal(b"RESTORE", text)),
        }
        refused.push(dumped.key);
    }
    Ok(refused)
}

impl Pair {
    /// Copies keys of the selected databases, whichever way they take, and returns those that are
    /// not there any more.
    pub(crate) async fn copy(
        &mut self,
        db: u16,
        keys: Vec<Key>,
        tally: &mut Tally,
    ) -> Result<Vec<Key>, WireError> {
        if self.traits.by_type {
            return self.copy_by_type(db, keys, tally).await;
        }
        let sorted = super::pair::sorted(&mut self.source, keys).await?;
        let mut gone = sorted.gone;
        let mut by_type = sorted.large;
        for group in sorted.groups {
            let read = read(&mut self.source, &self.traits, group).await?;
            gone.extend(read.gone);
            by_type.extend(read.refused);
            let refused = write(&mut self.target, &mut self.traits, read.dumped, tally).await?;
            by_type.extend(refused);
        }
        gone.extend(self.copy_by_type(db, by_type, tally).await?);
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_payloads_are_told_from_other_trouble() {
        let version = "ERR DUMP payload version or checksum are wrong";
        assert_eq!(refusal(version), Some(Refusal::All));
        let unknown = "ERR unknown command 'RESTORE', with args beginning with: ";
        assert_eq!(refusal(unknown), Some(Refusal::All));
        assert_eq!(refusal("ERR Bad data format"), Some(Refusal::This));
        assert_eq!(refusal("OOM command not allowed"), None);
        assert_eq!(refusal("ERR Invalid TTL value, must be >= 0"), None);
    }
}
