//! Lists that programs read as JSON and people open in spreadsheets: columns and cells are said once, so that both
//! hold the same. CSV is RFC 4180: a line of names, CRLF, quotes where needed; decimals are exact, what is not there is empty.

use hyper::header::{CONTENT_DISPOSITION, HeaderValue};

use super::page;
use crate::http::negotiate::Media;
use crate::http::params::{FORMAT, Param};
use crate::http::problem::Problem;
use crate::http::reply::{Content, Reply};
use crate::http::routes::Call;
use crate::json::Json;
use crate::kernel::types::{Money, format_fixed};

/// One value of a row.
pub(super) enum Cell {
    Null,
    Text(String),
    Id(u64),
    Int(i64),
    Bool(bool),
    /// A number at a scale.
    Decimal(i128, u8),
}

impl Cell {
    pub(super) fn money(amount: Money) -> Self {
        Self::Decimal(amount.0, Money::SCALE)
    }

    pub(super) fn of<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, cell)
    }

    fn json(&self, j: &mut Json) {
        match self {
            Self::Null => j.null(),
            Self::Text(text) => j.text(text),
            Self::Id(id) => j.id(id),
            Self::Int(int) => j.int(*int),
            Self::Bool(bool) => j.bool(*bool),
            Self::Decimal(value, scale) => j.decimal(*value, *scale),
        }
    }

    fn csv(&self, out: &mut String) {
        match self {
            Self::Null => {}
            Self::Text(text) => quoted(text, out),
            Self::Id(id) => out.push_str(&id.to_string()),
            Self::Int(int) => out.push_str(&int.to_string()),
            Self::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Self::Decimal(value, scale) => {
                out.push_str(&format_fixed(*value, *scale).to_string());
            }
        }
    }
}

/// What of a list is asked for.
pub(super) struct Wanted {
    csv: bool,
    limit: usize,
}

impl Wanted {
    pub(super) fn of(call: &Call, limit: &Param) -> Result<Self, Box<Problem>> {
        // The parameter has a default, so its absence is asked for first: then the header counts.
        let csv = match call.query.get(&FORMAT) {
            Some(_) => call.query.choice(&FORMAT)? == Some("csv"),
            None => call.media == Media::Csv,
        };
        let limit = if csv && call.query.get(limit).is_none() {
            usize::MAX
        } else {
            call.query.limit(limit)?
        };
        Ok(Self { csv, limit })
    }
}

/// The rows as they are asked for. `cells` makes a row and the cursor that goes on behind it; `file` is the name that
/// a browser saves CSV under.
pub(super) fn answer<T, const N: usize>(
    call: &Call,
    wanted: &Wanted,
    file: &'static str,
    columns: [&'static str; N],
    rows: impl Iterator<Item = T>,
    cells: impl Fn(T) -> ([Cell; N], String),
) -> Reply {
    if wanted.csv {
        let mut out = columns.join(",");
        out.push_str("\r\n");
        for row in rows.take(wanted.limit) {
            for (at, cell) in cells(row).0.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                cell.csv(&mut out);
            }
            out.push_str("\r\n");
        }
        return Reply {
            content_type: "text/csv; charset=utf-8; header=present",
            body: Content::Whole(out.into_bytes().into()),
            header: Some((CONTENT_DISPOSITION, HeaderValue::from_static(file))),
            ..Reply::json(Json::new(false))
        };
    }
    let mut json = Json::new(call.strings);
    page(&mut json, wanted.limit, rows, |j, row| {
        let (cells, cursor) = cells(row);
        j.object(|j| {
            for (name, cell) in columns.iter().zip(&cells) {
                cell.json(j.key(name));
            }
        });
        cursor
    });
    Reply::json(json)
}

fn quoted(text: &str, out: &mut String) {
    if text.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it() {
        let csv = |cell: Cell| {
            let mut out = String::new();
            cell.csv(&mut out);
            out
        };
        for (text, written) in [
            ("grid", "grid"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
        ] {
            assert_eq!(csv(Cell::Text(text.to_owned())), written);
        }
        assert_eq!(csv(Cell::Decimal(-1, 8)), "-0.00000001");
        assert_eq!(csv(Cell::Null), "");
    }
}
