//! Commands that show what the daemon knows: asked, printed, and with `--watch` asked again.
//!
//! Data goes to `out` alone; that a list is empty, or that a table is cut, is said on `note`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

pub use super::pages::ALL_MAX;
use super::{Ask, Client, ClientError, Look, View, pages};
use crate::cli::Exit;

/// How much of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many, because nothing was said: that there are more is news.
    Some(usize),
    /// As many as there are, up to this.
    AtMost(usize),
}

/// What is asked for, and how it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// A document each; with none, a document for each instrument or strategy that the daemon has.
    pub asks: Vec<Ask>,
    /// Of the strategies that the daemon has, which, and on which instruments; with none, all.
    pub names: Vec<String>,
    /// How they are shown.
    pub view: View,
    /// Entries of a list, over however many pages; `None` for what is no list.
    pub count: Option<Count>,
    /// Asked again so often.
    pub watch: Option<Duration>,
}

/// It could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It was not told.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Whoever reads the output does not.
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
}

/// How it is printed.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// The API's documents as they are, one a line.
    pub json: bool,
    /// Of tables.
    pub look: Look,
    /// Whether the output is a terminal, on which a watch is drawn over the last one.
    pub redraw: bool,
}

/// Asks and prints.
pub async fn show(
    show: &Show,
    client: &mut Client,
    manner: Manner,
    out: &mut dyn Write,
    note: &mut dyn Write,
) -> Result<Exit, ShowError> {
    let mut show = show.clone();
    if show.asks.is_empty() {
        show.asks = match show.view {
            View::Why => of_strategies(client, &show.names).await?,
            _ => of_each_symbol(client).await?,
        };
    }
    loop {
        let redraw = manner.redraw && show.watch.is_some() && !manner.json;
        let ended = once(&show, client, manner, redraw, out, note).await;
        let Some(period) = show.watch else {
            return ended;
        };
        ended?;
        tokio::time::sleep(period).await;
    }
}

/// A ticker for each instrument.
async fn of_each_symbol(client: &mut Client) -> Result<Vec<Ask>, ClientError> {
    let document = client.ask(&Ask::plain("GET", "/api/v1/symbols")).await?;
    let json: Value = serde_json::from_slice(&document).unwrap_or_default();
    let items = json["items"].as_array().map_or(&[][..], Vec::as_slice);
    let names = items.iter().filter_map(|item| item["name"].as_str());
    Ok(names
        .map(|name| {
            Ask::plain(
                "GET",
                format!("/api/v1/ticker/{}", crate::cli::encoded(name)),
            )
        })
        .collect())
}

/// Why each of some strategies decided as it did. A name that no strategy has is an instrument's.
async fn of_strategies(client: &mut Client, names: &[String]) -> Result<Vec<Ask>, ClientError> {
    let target = "/api/v1/strategies";
    let document = client.ask(&Ask::plain("GET", target)).await?;
    let json: Value = serde_json::from_slice(&document).unwrap_or_default();
    let items = json["items"].as_array().map_or(&[][..], Vec::as_slice);
    let all: Vec<&str> = items.iter().filter_map(|i| i["name"].as_str()).collect();
    let (strategies, symbols): (Vec<&str>, Vec<&str>) = names
        .iter()
        .map(String::as_str)
        .partition(|name| all.contains(name));
    let strategies = if strategies.is_empty() {
        all
    } else {
        strategies
    };
    let mut asks = Vec::new();
    for name in strategies {
        let ask = Ask::plain("GET", format!("{target}/{}/why", crate::cli::encoded(name)));
        if symbols.is_empty() {
            asks.push(ask);
        } else {
            let on = |symbol| ask.clone().with("symbol", &crate::cli::encoded(symbol));
            asks.extend(symbols.iter().copied().map(on));
        }
    }
    Ok(asks)
}

async fn once(
    show: &Show,
    client: &mut Client,
    manner: Manner,
    redraw: bool,
    out: &mut dyn Write,
    note: &mut dyn Write,
) -> Result<Exit, ShowError> {
    let mut documents = Vec::new();
    let mut failed: Option<ClientError> = None;
    let mut exit = Exit::Ok;
    for ask in &show.asks {
        match fetch(show, client, ask, manner.json).await {
            Ok((document, said)) => {
                documents.push(document);
                exit = said;
            }
            Err(error @ ClientError::Refused { .. }) if show.asks.len() > 1 => {
                // The others are still worth showing; the first refusal is the result.
                if failed.as_ref().is_some_and(|first| *first != error) {
                    drop(writeln!(note, "error: {error}"));
                }
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if manner.json {
        for document in &documents {
            out.write_all(document)?;
            out.write_all(b"\n")?;
        }
    } else if !documents.is_empty() || show.asks.is_empty() {
        let documents: Vec<Value> = documents
            .iter()
            .map(|document| parsed(client, document))
            .collect::<Result<_, _>>()?;
        write_tables(show, &documents, manner.look, redraw, out, note)?;
    }
    out.flush()?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(exit),
    }
}

async fn fetch(
    show: &Show,
    client: &mut Client,
    ask: &Ask,
    json: bool,
) -> Result<(Vec<u8>, Exit), ClientError> {
    let ask = if json || show.view == View::Health {
        ask.clone()
    } else {
        ask.clone().exact()
    };
    if show.view == View::Health {
        // Not being ready is an answer, with another status.
        let reply = client.send(&ask).await?;
        return match reply.status {
            200 => Ok((reply.body.to_vec(), Exit::Ok)),
            503 if parsed(client, &reply.body)?["checks"].is_array() => {
                Ok((reply.body.to_vec(), Exit::Failure))
            }
            status => Err(super::refusal(status, &reply.body)),
        };
    }
    let document = match show.count {
        Some(Count::Some(count) | Count::AtMost(count)) => pages::list(client, &ask, count).await?,
        None => client.ask(&ask).await?,
    };
    Ok((document, Exit::Ok))
}

fn parsed(client: &Client, document: &[u8]) -> Result<Value, ClientError> {
    serde_json::from_slice(document).map_err(|error| ClientError::Foreign {
        at: client.authority(),
        why: error.to_string(),
    })
}

fn write_tables(
    show: &Show,
    documents: &[Value],
    look: Look,
    redraw: bool,
    out: &mut dyn Write,
    note: &mut dyn Write,
) -> io::Result<()> {
    let page = show.view.page(documents);
    let mut text = String::new();
    let mut left_out = Vec::new();
    for table in page.tables.iter().filter(|table| !table.rows.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        let rendered = table.render(look);
        text.push_str(&rendered.text);
        left_out.extend(rendered.left_out);
    }
    if redraw {
        // Over the last one: every line to its end, then whatever is below.
        let lines = text.replace('\n', "\x1b[K\n");
        write!(out, "\x1b[H{lines}\x1b[J")?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    out.flush()?;
    if text.is_empty() {
        writeln!(note, "{}", show.view.nothing())?;
    }
    if page.more && matches!(show.count, Some(Count::Some(_))) && !redraw {
        writeln!(note, "there are more: --limit N or --all shows them")?;
    }
    if !left_out.is_empty() && !redraw {
        left_out.sort_unstable();
        left_out.dedup();
        writeln!(
            note,
            "too narrow for {}: widen the terminal, or ask with --json",
            left_out.join(", ")
        )?;
    }
    Ok(())
}
