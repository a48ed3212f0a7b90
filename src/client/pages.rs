//! Lists come in pages. This follows their cursors as far as is wanted.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Client, ClientError};

/// Entries in a page; the most that the API gives.
const PAGE: usize = 1_000;
/// The most that `--all` collects.
pub const ALL_MAX: usize = 100_000;

/// A page, its entries as they came.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    next_cursor: Option<String>,
}

/// A list as one document: `count` entries at most. A list of one page is passed on as it came.
pub(crate) async fn list(
    client: &mut Client,
    ask: &Ask,
    count: usize,
) -> Result<Vec<u8>, ClientError> {
    let first = client.ask(&paged(ask, count.min(PAGE), None)).await?;
    let mut cursor = page(client, &first)?.next_cursor;
    let mut items: Vec<Box<RawValue>> = Vec::new();
    if cursor.is_none() || count <= PAGE {
        return Ok(first);
    }
    items.extend(
        page(client, &first)?
            .items
            .into_iter()
            .map(ToOwned::to_owned),
    );
    while items.len() < count
        && let Some(at) = cursor.take()
    {
        let document = client
            .ask(&paged(ask, (count - items.len()).min(PAGE), Some(&at)))
            .await?;
        let page = page(client, &document)?;
        // An empty page that names a next one would go on for ever.
        cursor = page
            .next_cursor
            .filter(|next| !page.items.is_empty() && *next != at);
        items.extend(page.items.into_iter().map(ToOwned::to_owned));
    }
    let mut document = b"{\"items\":[".to_vec();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            document.push(b',');
        }
        document.extend_from_slice(item.get().as_bytes());
    }
    document.extend_from_slice(b"],\"next_cursor\":");
    match &cursor {
        Some(cursor) => {
            document.extend_from_slice(serde_json::json!(cursor).to_string().as_bytes());
        }
        None => document.extend_from_slice(b"null"),
    }
    document.push(b'}');
    Ok(document)
}

fn paged(ask: &Ask, limit: usize, cursor: Option<&str>) -> Ask {
    let ask = ask.clone().with("limit", &limit.to_string());
    match cursor {
        Some(cursor) => ask.with("cursor", &crate::cli::encoded(cursor)),
        None => ask,
    }
}

fn page<'a>(client: &Client, document: &'a [u8]) -> Result<Page<'a>, ClientError> {
    serde_json::from_slice(document).map_err(|error| ClientError::Foreign {
        at: client.authority(),
        why: error.to_string(),
    })
}
