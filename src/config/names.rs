//! Which names exist: keys, sections, venues, strategies, and the nearest one to a misspelt name.

use std::collections::BTreeMap;

use super::error::{Origin, Problem};
use super::keys::{Key, VENUE_KEYS, VenueKey, key_names, keys};
use super::load::{Entry, Sources};
use super::raw;
use crate::kernel::types::VenueId;

/// What a path names.
pub(super) enum Slot {
    Key(&'static Key),
    Venue(VenueId, &'static VenueKey),
    Param(String, String),
}

impl Slot {
    fn path(&self) -> String {
        match self {
            Self::Key(key) => key.path.to_owned(),
            Self::Venue(venue, key) => format!("venues.{venue}.{}", key.name),
            Self::Param(strategy, param) => format!("strategies.{strategy}.{param}"),
        }
    }
}

/// Drops the entries that name nothing, each with a problem.
pub(super) fn resolve(
    sources: &Sources,
    entries: Vec<Entry>,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    let mut known = Vec::with_capacity(entries.len());
    let kinds = kinds(&entries);
    for mut entry in entries {
        match slot(&entry.path) {
            Some(slot) => {
                entry.path = slot.path();
                match check_strategy(sources, &kinds, &slot, &entry) {
                    Ok(()) => known.push(entry),
                    Err(message) => problems.push(entry.problem(message)),
                }
            }
            // The table that it stands in was reported by its own line.
            None if is_unknown_section(&entry) => {}
            None => {
                let message = format!("unknown key{}", nearest(&entry.path, key_names()));
                problems.push(entry.problem(message));
            }
        }
    }
    known
}

/// Strategies under names of their own, and which ones they are: `strategies.NAME.type`.
fn kinds(entries: &[Entry]) -> BTreeMap<String, String> {
    let kind = |entry: &Entry| match slot(&entry.path) {
        Some(Slot::Param(name, param)) if param == "type" => {
            Some((name, raw::text(&entry.raw).ok()?.to_owned()))
        }
        _ => None,
    };
    entries.iter().filter_map(kind).collect()
}

pub(super) fn slot(path: &str) -> Option<Slot> {
    if let Some(key) = keys().find(|key| key.path == path) {
        return Some(Slot::Key(key));
    }
    let mut parts = path.splitn(3, '.');
    let (section, name, leaf) = (parts.next()?, parts.next()?, parts.next()?);
    match section {
        "venues" => {
            let venue = venue_named(name)?;
            let key = VENUE_KEYS.iter().find(|key| key.name == leaf)?;
            Some(Slot::Venue(venue, key))
        }
        "strategies" if !leaf.contains('.') && !leaf.is_empty() && !name.is_empty() => {
            Some(Slot::Param(name.to_owned(), leaf.to_owned()))
        }
        _ => None,
    }
}

/// Environment variables cannot have a dash: an underscore stands for it.
fn venue_named(name: &str) -> Option<VenueId> {
    VenueId::ALL
        .into_iter()
        .find(|venue| venue.name().replace('-', "_") == name.replace('-', "_"))
}

fn sections() -> Vec<String> {
    let mut names: Vec<String> = keys()
        .filter_map(|key| key.path.split_once('.'))
        .map(|(section, _)| section.to_owned())
        .collect();
    names.extend(["venues".to_owned(), "strategies".to_owned()]);
    names.dedup();
    names
}

fn is_unknown_section(entry: &Entry) -> bool {
    matches!(entry.origin, Origin::File { .. })
        && entry
            .path
            .split_once('.')
            .is_some_and(|(section, _)| !sections().iter().any(|s| s == section))
}

/// Reports a table of the file whose name is not known.
pub(super) fn check_table(sources: &Sources, table: &Entry, problems: &mut Vec<Problem>) {
    let message = match table.path.split_once('.') {
        None if sections().contains(&table.path) => return,
        None => format!("unknown section{}", nearest(&table.path, sections())),
        Some(("venues", name)) if venue_named(name).is_some() => return,
        Some(("venues", _)) => {
            let names = VenueId::ALL.iter().map(|venue| format!("venues.{venue}"));
            format!("unknown venue{}", nearest(&table.path, names.collect()))
        }
        Some(("strategies", name)) => match check_strategy_name(sources, name) {
            Ok(()) => return,
            Err(message) => message,
        },
        Some(_) => format!("unknown key{}", nearest(&table.path, key_names())),
    };
    problems.push(table.problem(message));
}

/// `: did you mean …?`, or nothing when nothing is near.
fn nearest(path: &str, names: Vec<String>) -> String {
    let leaf = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    let score = |name: &String| {
        // The right key in the wrong section is nearer than any spelling.
        let same_leaf = if leaf(name) == leaf(path) { 1.0 } else { 0.0 };
        same_leaf + strsim::jaro_winkler(path, name)
    };
    names
        .into_iter()
        .map(|name| (score(&name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.6)
        .map(|(_, name)| format!(": did you mean {name}?"))
        .unwrap_or_default()
}

fn check_strategy(
    sources: &Sources,
    kinds: &BTreeMap<String, String>,
    slot: &Slot,
    entry: &Entry,
) -> Result<(), String> {
    let kind_of = |name: &str| kinds.get(name).map_or(name, String::as_str).to_owned();
    match slot {
        Slot::Param(strategy, param) => {
            let kind = kind_of(strategy);
            check_strategy_name(sources, &kind)?;
            let known = sources.strategies.iter().find(|s| s.name == kind);
            match known {
                Some(known) if !known.params.contains(&param.as_str()) => {
                    let names = known
                        .params
                        .iter()
                        .map(|p| format!("strategies.{strategy}.{p}"))
                        .collect();
                    Err(format!("unknown parameter{}", nearest(&entry.path, names)))
                }
                _ => Ok(()),
            }
        }
        Slot::Key(key) if key.path == "run.strategies" => raw::list(&entry.raw)
            .unwrap_or_default() // a wrong type is reported when it is applied
            .into_iter()
            .try_for_each(|name| check_strategy_name(sources, &kind_of(name))),
        Slot::Key(_) | Slot::Venue(..) => Ok(()),
    }
}

fn check_strategy_name(sources: &Sources, name: &str) -> Result<(), String> {
    let known = &sources.strategies;
    if known.is_empty() || known.iter().any(|s| s.name == name) {
        return Ok(());
    }
    let names: Vec<String> = known.iter().map(|s| s.name.to_owned()).collect();
    Err(format!("unknown strategy {name:?}{}", nearest(name, names)))
}
