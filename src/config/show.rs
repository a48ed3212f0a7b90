//! Prints settings: as TOML that reads back to the same settings, or as JSON. Passwords are redacted.

use std::fmt::Write as _;

use super::keys::{VENUE_KEYS, keys};
use super::load::Loaded;
use super::raw::Raw;
use super::settings::Settings;

impl Loaded {
    /// The settings as TOML, with the origin of each value as a comment if asked for.
    pub fn to_toml(&self, with_origin: bool) -> String {
        let mut out = String::new();
        let mut section = String::new();
        for (path, raw) in rows(&self.settings) {
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
        rows(&self.settings)
            .into_iter()
            .map(|(path, raw)| {
                let origin = self.origin(&path).to_string();
                let row = serde_json::json!({"value": raw.json(), "origin": origin});
                (path, row)
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl Settings {
    /// The keys whose values differ from those of `earlier`.
    pub fn changed_since(&self, earlier: &Self) -> Vec<String> {
        let (now, before) = (rows(self), rows(earlier));
        let of = |rows: &[(String, Raw)], key: &str| {
            let row = rows.iter().find(|(path, _)| path == key);
            row.map(|(_, raw)| raw.clone())
        };
        let mut keys: Vec<&String> = now.iter().chain(&before).map(|(path, _)| path).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| of(&now, key) != of(&before, key));
        keys.into_iter().cloned().collect()
    }
}

fn rows(settings: &Settings) -> Vec<(String, Raw)> {
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

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).unwrap_or_default();
}
