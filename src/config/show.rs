//! Prints settings: as TOML that reads back to the same settings, or as JSON. Passwords are redacted.

use std::fmt::Write as _;

use super::keys::{VENUE_KEYS, keys};
use super::load::Loaded;
use super::raw::Raw;

impl Loaded {
    /// The settings as TOML, with the origin of each value as a comment if asked for.
    pub fn to_toml(&self, with_origin: bool) -> String {
        let mut out = String::new();
        let mut section = String::new();
        for (path, raw) in self.rows() {
            let (table, key) = path.rsplit_once('.').unwrap_or(("", path.as_str()));
            if table != section {
                let gap = if out.is_empty() { "" } else { "\n" };
                push(&mut out, format_args!("{gap}[{table}]\n"));
                table.clone_into(&mut section);
            }
            push(&mut out, format_args!("{key} = {raw}"));
            if with_origin {
                push(&mut out, format_args!(" # {}", self.origin(&path)));
            }
            out.push('\n');
        }
        out
    }

    /// The settings as one JSON object: `{"section.key": {"value": …, "origin": …}}`.
    pub fn to_json(&self) -> serde_json::Value {
        self.rows()
            .into_iter()
            .map(|(path, raw)| {
                let origin = self.origin(&path).to_string();
                let row = serde_json::json!({"value": raw.json(), "origin": origin});
                (path, row)
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn rows(&self) -> Vec<(String, Raw)> {
        let settings = &self.settings;
        let fixed = keys().map(|key| (key.path.to_owned(), (key.get)(settings)));
        let venues = settings.venues.iter().flat_map(|(venue, of_venue)| {
            VENUE_KEYS
                .iter()
                .map(move |key| (format!("venues.{venue}.{}", key.name), (key.get)(of_venue)))
        });
        let params = settings.strategies.iter().flat_map(|(strategy, params)| {
            params.iter().map(move |(param, value)| {
                let path = format!("strategies.{strategy}.{param}");
                (path, Raw::Text(value.clone()))
            })
        });
        fixed.chain(venues).chain(params).collect()
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).unwrap_or_default();
}
