//! The tables of strategies and of the signals of book and trades, as `hean config strategies` prints them.

use crate::json::Json;
use crate::kernel::market::BOOK_SIGNALS;
use crate::kernel::strategies::{COMMON_PARAMS, Kind, Param, STRATEGIES};

/// For people.
pub fn table_text() -> String {
    let mut lines = Vec::new();
    for row in STRATEGIES {
        lines.push(format!("{}: {}", row.name, row.what));
        lines.extend(row.params.iter().map(param_text));
    }
    lines.push("every strategy:".to_owned());
    lines.extend(COMMON_PARAMS.iter().map(param_text));
    lines.push("signals of book and trades:".to_owned());
    for row in BOOK_SIGNALS {
        let count = row
            .count
            .map_or_else(String::new, |(what, min, max, default)| {
                format!(" ({what} {default}, {min} to {max})")
            });
        lines.push(format!(
            "  {:<14} {}{count}; {}",
            row.name, row.title, row.source
        ));
    }
    lines.join("\n")
}

fn param_text(param: &Param) -> String {
    let range = match param.kind {
        Kind::Whole | Kind::Decimal => format!(" ({} to {})", param.min, param.max),
        Kind::Flag => " (true, false)".to_owned(),
        Kind::Choice(words) => format!(" ({})", words.join(", ")),
        Kind::Text => String::new(),
    };
    let unit = if param.unit.is_empty() {
        String::new()
    } else {
        format!(" {}", param.unit)
    };
    format!(
        "  {:<14} {}; {}{unit}{range}",
        param.name, param.what, param.default
    )
}

/// As JSON: `strategies` and `common`, with `name`, `what` and parameters (`name`, `kind`, `min`, `max`, `default`,
/// `unit`, `what`), and `signals`.
pub fn table_json() -> Vec<u8> {
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("strategies").array(|j| {
            for row in STRATEGIES {
                j.object(|j| {
                    j.key("name").text(row.name);
                    j.key("what").text(row.what);
                    j.key("params")
                        .array(|j| row.params.iter().for_each(|p| param_json(j, p)));
                });
            }
        });
        j.key("common")
            .array(|j| COMMON_PARAMS.iter().for_each(|p| param_json(j, p)));
        j.key("signals").array(|j| {
            for row in BOOK_SIGNALS {
                j.object(|j| {
                    j.key("name").text(row.name);
                    j.key("title").text(row.title);
                    j.key("source").text(row.source);
                });
            }
        });
    });
    json.into_bytes()
}

fn param_json(json: &mut Json, param: &Param) {
    let bound = |text: &'static str| Some(text).filter(|t| !t.is_empty());
    json.object(|j| {
        j.key("name").text(param.name);
        j.key("kind").text(match param.kind {
            Kind::Whole => "whole",
            Kind::Decimal => "decimal",
            Kind::Flag => "flag",
            Kind::Choice(_) => "choice",
            Kind::Text => "text",
        });
        j.key("min").text_or_null(bound(param.min));
        j.key("max").text_or_null(bound(param.max));
        if let Kind::Choice(words) = param.kind {
            j.key("choices")
                .array(|j| words.iter().for_each(|word| j.text(word)));
        }
        j.key("default").text(param.default);
        j.key("unit").text(param.unit);
        j.key("what").text(param.what);
    });
}
