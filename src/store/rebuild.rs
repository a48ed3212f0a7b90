//! Writing the complete state into an empty store, in steps of bounded size.
//!
//! The watermark appears with the last step, so nobody takes half of a state for a whole one.

use fred::types::{Key, Value};

use super::client::{Client, Scripts};
use super::keydb::Trouble;
use super::pack::Pack;
use super::projection::{Projection, Writes, text};
use crate::kernel::event::Seq;
use crate::kernel::ledger::Holding;
use crate::kernel::orders::OrderId;
use crate::kernel::portfolio::Position;
use crate::kernel::types::InstrumentId;

/// Orders written or removed by one step.
const ORDERS_PER_STEP: usize = 256;

/// One attempt. Its fence was taken for it alone, so steps of an earlier attempt that come late are
/// refused.
pub(crate) struct Attempt<'a> {
    pub(crate) client: &'a Client,
    pub(crate) scripts: &'a mut Scripts,
    pub(crate) projection: &'a Projection,
    pub(crate) fence: u64,
    /// Steps done.
    pub(crate) step: u64,
}

impl Attempt<'_> {
    /// Replaces whatever the store holds by the state of the projection; the stream begins after it.
    pub(crate) async fn run(mut self, schema: &str) -> Result<(), Trouble> {
        let (ledger, keys) = (self.projection.ledger(), self.projection.keys());
        let begin = [schema.to_owned(), keys.account(), keys.position()].map(text);
        self.step("begin", Vec::new(), begin.into()).await?;
        loop {
            let wipe = [keys.order(), ORDERS_PER_STEP.to_string()].map(text);
            if self.step("wipe", Vec::new(), wipe.into()).await? == 0 {
                break;
            }
        }
        let ids: Vec<OrderId> = ledger.orders().iter().map(|o| o.id).collect();
        for ids in ids.chunks(ORDERS_PER_STEP) {
            let mut writes = Writes::default();
            for id in ids {
                writes.order(*id, Seq(0), ledger, keys);
            }
            self.put(writes).await?;
        }
        let mut writes = Writes::default();
        for (id, _) in (0_u16..).zip(ledger.instruments()) {
            let blank = |h: &Holding| h.positions().iter().all(Position::is_blank);
            if !ledger.holding(InstrumentId(id)).is_none_or(blank) {
                writes.position(InstrumentId(id), ledger, keys);
            }
        }
        writes.account(ledger, keys);
        self.put(writes).await?;
        let Seq(watermark) = self.projection.position();
        let end = [watermark.to_string(), (watermark + 1).to_string()].map(text);
        self.step("end", Vec::new(), end.into()).await?;
        Ok(())
    }

    async fn put(&mut self, writes: Writes) -> Result<(), Trouble> {
        let (keys, packed) = writes.finish(&Pack::default());
        self.step("put", keys, vec![Value::Bytes(packed)]).await?;
        Ok(())
    }

    /// Does the next step; returns how many old orders are left.
    async fn step(
        &mut self,
        what: &'static str,
        more_keys: Vec<Key>,
        more_args: Vec<Value>,
    ) -> Result<u64, Trouble> {
        self.step += 1;
        let mut keys = self.projection.keys().fixed();
        keys.extend(more_keys);
        let mut args = vec![
            text(self.fence.to_string()),
            text(self.step.to_string()),
            Value::from_static_str(what),
        ];
        args.extend(more_args);
        let script = &mut self.scripts.rebuild;
        let answer = self.client.run(script, keys, args).await?;
        match answer.first().map(String::as_str) {
            Some("done") => Ok(answer.get(2).and_then(|n| n.parse().ok()).unwrap_or(0)),
            // Emptied meanwhile, or taken over: begin anew, and see.
            _ => Err(Trouble::Resynchronise("the store changed during a rebuild")),
        }
    }
}
