//! Reads the configuration file into entries, each with the line that it stands on.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};
use super::load::Entry;
use super::raw::Raw;

/// The file that is read when it exists and no other one is named.
pub const DEFAULT_FILE: &str = "/etc/hean/hean.toml";

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct FileLayer {
    pub(super) entries: Vec<Entry>,
    /// Tables without keys of their own: they may be misspelt, too.
    pub(super) empty_tables: Vec<Entry>,
    /// Whether every user of the machine may read it.
    pub(super) world_readable: bool,
}

/// Reads and flattens a file.
pub(super) fn read(path: &Path) -> Result<FileLayer, Problem> {
    let text = read_text(path)?;
    let mut layer = parse(path, &text)?;
    layer.world_readable = world_readable(path);
    Ok(layer)
}

/// Flattens the text of a file.
pub(super) fn parse(path: &Path, text: &str) -> Result<FileLayer, Problem> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        // Only the message: the error's own display repeats the line, which may hold a password.
        problem(
            path,
            line_of(text, at),
            format!("not TOML: {}", error.message()),
        )
    })?;
    let mut layer = FileLayer::default();
    flatten(path, text, table.get_ref(), "", &mut layer);
    Ok(layer)
}

fn flatten(path: &Path, text: &str, table: &DeTable<'_>, prefix: &str, layer: &mut FileLayer) {
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_by_key(|(key, _)| key.span().start); // problems in the order of the file
    for (key, value) in rows {
        let name = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        let origin = Origin::File {
            path: path.to_owned(),
            line: line_of(text, key.span().start),
        };
        if let DeValue::Table(inner) = value.get_ref() {
            if inner.is_empty() || prefix.is_empty() {
                layer.empty_tables.push(Entry {
                    path: name.clone(),
                    raw: Raw::Other("a table"),
                    origin,
                });
            }
            flatten(path, text, inner, &name, layer);
        } else {
            layer.entries.push(Entry {
                path: name,
                raw: raw(value.get_ref()),
                origin,
            });
        }
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("an integer out of range"), Raw::Integer),
        DeValue::Float(number) => Raw::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(|v| raw(v.get_ref())).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// Reads a small text file.
pub(super) fn read_text(path: &Path) -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| problem(path, 0, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(problem(
            path,
            0,
            "larger than 1 MiB: this is no configuration".to_owned(),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("byte {at} and what follows is not UTF-8 text");
        problem(path, 0, message)
    })
}

fn problem(path: &Path, line: usize, message: String) -> Problem {
    Problem {
        origin: Origin::File {
            path: PathBuf::from(path),
            line,
        },
        key: String::new(),
        message,
    }
}

#[cfg(unix)]
fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn world_readable(_: &Path) -> bool {
    false
}
