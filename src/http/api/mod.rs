//! The handlers, by subject. Each turns published views into a document or a command into an answer.

pub(super) mod account;
pub(super) mod amend;
pub(super) mod control;
pub(super) mod docs;
pub(super) mod feeds;
pub(super) mod fills;
mod grid;
pub(super) mod health;
pub(super) mod indicators;
pub(super) mod market;
pub(super) mod order_in;
pub(super) mod order_out;
pub(super) mod orders;
pub(super) mod positions;
pub(super) mod risk;
mod table;

use crate::json::Json;

/// A page of a list: `{"items": […], "next_cursor": …}`. `item` writes an entry and returns the
/// cursor that continues after it.
fn page<T>(
    json: &mut Json,
    limit: usize,
    entries: impl Iterator<Item = T>,
    mut item: impl FnMut(&mut Json, T) -> String,
) {
    let mut entries = entries.peekable();
    let mut last = None;
    json.object(|j| {
        j.key("items").array(|j| {
            for entry in entries.by_ref().take(limit) {
                last = Some(item(j, entry));
            }
        });
        let more = entries.peek().is_some();
        j.key("next_cursor")
            .text_or_null(last.as_deref().filter(|_| more));
    });
}
