//! Merges the layers into [`Settings`]. Reading the file and the credentials directory is the only
//! I/O; the environment and the flags are handed in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin, Problem};
use super::file::{self, DEFAULT_FILE};
use super::keys::keys;
use super::names::{Slot, check_table, resolve, slot};
use super::raw::{Raw, Wrong, decimal, list};
use super::settings::{DataDir, Settings};
use super::url::StoreUrl;
use crate::kernel::types::{Interval, VenueId};

/// Prefix of environment variables that set a key.
const ENV_PREFIX: &str = "HEAN__";
/// What `$CREDENTIALS_DIRECTORY` may hold, and the keys that it sets.
const CREDENTIALS: [(&str, &str); 2] = [("keydb_url", "store.url"), ("api_token", "http.token")];
/// The strategy of a demo that names none.
const DEMO_STRATEGY: &str = "ema_cross";

/// A value set by a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// `section.key`.
    pub key: String,
    /// The value, as text; commas separate lists.
    pub value: String,
    /// The flag, with its dashes.
    pub flag: &'static str,
}

/// A strategy that this build has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStrategy {
    /// Its name.
    pub name: &'static str,
    /// Names of its parameters.
    pub params: Vec<&'static str>,
}

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Read if it exists and neither `--config` nor `$HEAN_CONFIG` names another file.
    pub default_file: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The flags.
    pub flags: Vec<Override>,
    /// Nothing will be kept: a missing data directory is no problem.
    pub stateless: bool,
    /// The strategies that names and parameters are checked against; none: they are not checked.
    pub strategies: Vec<KnownStrategy>,
}

impl Sources {
    /// The sources of this process. Variables that are not Unicode are left out; none of ours is.
    pub fn of_process(config: Option<PathBuf>, flags: Vec<Override>) -> Self {
        Self {
            config,
            default_file: Some(PathBuf::from(DEFAULT_FILE)),
            env: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            flags,
            stateless: false,
            strategies: crate::setup::known_strategies(),
        }
    }

    fn var(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }
}

/// Settings and where they came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// By `section.key`: where a value came from that is not a default.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What is legal but not wise, a sentence each.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Where the value of `section.key` came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// A value of a layer.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

impl Entry {
    pub(super) fn problem(&self, message: String) -> Problem {
        Problem {
            origin: self.origin.clone(),
            key: self.path.clone(),
            message,
        }
    }
}

/// Reads all layers. All problems are reported together.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let (entries, file) = collect(sources, &mut problems, &mut warnings);
    let mut entries = resolve(sources, entries, &mut problems);

    let mut settings = Settings::default();
    let mut origins = BTreeMap::new();
    let demo = winner(&entries, "run.demo").and_then(|entry| {
        let mut probe = Settings::default();
        let key = keys().find(|key| key.path == "run.demo")?;
        (key.set)(&mut probe, &entry.raw).ok()?;
        probe.run.demo.then(|| entry.origin.clone())
    });
    if let Some(origin) = &demo {
        enter_demo(&mut settings, &mut origins, &mut entries, origin);
    }
    for entry in &entries {
        apply(&mut settings, &mut origins, entry, &mut problems);
    }
    settle_symbols(&mut settings, &entries, demo.is_some(), &mut problems);
    if demo.is_some() && settings.run.exchanges != [VenueId::Sim] {
        problems.push(at(
            &origins,
            "run.exchange",
            "the demo trades on the simulated venue alone: leave the exchange out",
        ));
    }
    check_tls(&settings, &origins, &mut problems);
    check_flags_hold_no_password(&entries, &mut problems);
    settle_data_dir(
        sources,
        &mut settings,
        demo.is_some(),
        &origins,
        &mut problems,
    );
    warn(&settings, &mut warnings);
    if problems.is_empty() {
        Ok(Loaded {
            settings,
            origins,
            file,
            warnings,
        })
    } else {
        // A value can be refused more than once on its way (symbols are read twice).
        problems.dedup();
        Err(ConfigError { problems })
    }
}

/// The entries of every layer, weakest first.
fn collect(
    sources: &Sources,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> (Vec<Entry>, Option<PathBuf>) {
    let mut entries = Vec::new();
    let demo_flag = sources
        .flags
        .iter()
        .any(|o| o.key == "run.demo" && o.value == "true");
    let file = sources
        .config
        .clone()
        .or_else(|| sources.var("HEAN_CONFIG").map(PathBuf::from))
        .or_else(|| {
            // `--demo` is for trying things out: it never reads the machine's own configuration.
            sources
                .default_file
                .clone()
                .filter(|path| !demo_flag && path.exists())
        });
    if let Some(path) = &file {
        match file::read(path) {
            Ok(layer) => {
                let holds_password = |e: &Entry| match (e.path.as_str(), &e.raw) {
                    ("store.url", Raw::Text(text)) => text.contains('@'),
                    ("http.token", Raw::Text(text)) => !text.is_empty(),
                    _ => false,
                };
                if layer.world_readable && layer.entries.iter().any(holds_password) {
                    warnings.push(format!(
                        "{} holds a secret and every user of this machine may read it: chmod 640",
                        path.display()
                    ));
                }
                for table in &layer.empty_tables {
                    check_table(sources, table, problems);
                }
                entries.extend(layer.entries);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(dir) = sources.var("CREDENTIALS_DIRECTORY") {
        for (name, key) in CREDENTIALS {
            let path = PathBuf::from(dir).join(name);
            if !path.exists() {
                continue;
            }
            let origin = Origin::Credential(path.clone());
            match file::read_text(&path) {
                Ok(text) => entries.push(Entry {
                    path: key.to_owned(),
                    raw: Raw::Bare(text.trim().to_owned()),
                    origin,
                }),
                Err(problem) => problems.push(Problem { origin, ..problem }),
            }
        }
    }
    for (name, value) in &sources.env {
        if let Some(key) = name.strip_prefix(ENV_PREFIX) {
            entries.push(Entry {
                path: key.to_ascii_lowercase().replace("__", "."),
                raw: Raw::Bare(value.clone()),
                origin: Origin::Env(name.clone()),
            });
        }
    }
    entries.extend(sources.flags.iter().map(|o| Entry {
        path: o.key.clone(),
        raw: Raw::Bare(o.value.clone()),
        origin: Origin::Flag(o.flag),
    }));
    (entries, file)
}

fn winner<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    entries.iter().rev().find(|entry| entry.path == path)
}

/// The demo's defaults; and from layers weaker than the one that asked for the demo nothing is taken
/// that names the real world: exchange, data directory, store, venue addresses.
fn enter_demo(
    settings: &mut Settings,
    origins: &mut BTreeMap<String, Origin>,
    entries: &mut Vec<Entry>,
    asked_by: &Origin,
) {
    entries.retain(|entry| {
        let real = matches!(
            entry.path.as_str(),
            "run.exchange" | "journal.dir" | "store.url" | "record.dir"
        ) || entry.path.starts_with("venues.");
        !real || entry.origin.rank() >= asked_by.rank()
    });
    settings.run.exchanges = vec![VenueId::Sim];
    settings.run.intervals = vec![Interval::SECOND, Interval::MINUTE];
    settings.run.strategies = vec![DEMO_STRATEGY.to_owned()];
    for key in ["run.exchange", "run.intervals", "run.strategies"] {
        origins.insert(key.to_owned(), Origin::Demo);
    }
}

fn apply(
    settings: &mut Settings,
    origins: &mut BTreeMap<String, Origin>,
    entry: &Entry,
    problems: &mut Vec<Problem>,
) {
    let mut secret = false;
    let done = match slot(&entry.path) {
        Some(Slot::Key(key)) => {
            secret = key.secret;
            (key.set)(settings, &entry.raw)
        }
        Some(Slot::Venue(venue, key)) => {
            let mut of_venue = settings.venue(venue);
            let done = (key.set)(&mut of_venue, &entry.raw);
            settings.venues.insert(venue, of_venue);
            done
        }
        Some(Slot::Param(strategy, param)) => param_text(&entry.raw).map(|value| {
            let value = match &entry.origin {
                // As everywhere: relative to the file that names it.
                Origin::File { path, .. } if param == "file" => beside(path, &value),
                _ => value,
            };
            settings
                .strategies
                .entry(strategy)
                .or_default()
                .insert(param, value);
        }),
        None => Ok(()), // reported by `resolve`
    };
    match done {
        Ok(()) => {
            origins.insert(entry.path.clone(), entry.origin.clone());
        }
        Err(Wrong(why)) if secret => problems.push(entry.problem(why)),
        Err(Wrong(why)) => problems.push(entry.problem(format!("{}: {why}", entry.raw))),
    }
}

fn beside(file: &Path, named: &str) -> String {
    let dir = file.parent().unwrap_or(Path::new(""));
    dir.join(named).display().to_string()
}

fn param_text(raw: &Raw) -> Result<String, Wrong> {
    match raw {
        Raw::Bool(value) => Ok(value.to_string()),
        Raw::List(_) => list(raw).map(|items| items.join(",")),
        _ => decimal(raw),
    }
}

/// Bare symbols mean the first exchange, which a stronger layer may have changed since they were
/// read; in the demo every symbol is played by the simulated venue.
fn settle_symbols(
    settings: &mut Settings,
    entries: &[Entry],
    demo: bool,
    problems: &mut Vec<Problem>,
) {
    let fallback = Entry {
        path: "run.symbols".to_owned(),
        raw: Raw::texts(Settings::default().run.symbols.iter().map(|n| &n.symbol)),
        origin: Origin::Default,
    };
    let entry = winner(entries, "run.symbols").unwrap_or(&fallback);
    apply(settings, &mut BTreeMap::new(), entry, problems);
    if demo {
        let mut symbols = std::mem::take(&mut settings.run.symbols);
        for name in &mut symbols {
            name.venue = VenueId::Sim;
        }
        for name in symbols {
            if !settings.run.symbols.contains(&name) {
                settings.run.symbols.push(name);
            }
        }
        return;
    }
    for name in &settings.run.symbols {
        if !settings.run.exchanges.contains(&name.venue) {
            problems.push(entry.problem(format!(
                "{name} is on an exchange that run.exchange does not name; add {} there",
                name.venue
            )));
        }
    }
}

/// Other machines are reached in clear only where somebody has said so.
fn check_tls(settings: &Settings, origins: &BTreeMap<String, Origin>, problems: &mut Vec<Problem>) {
    let http = &settings.http;
    let lonely = match (&http.tls_cert, &http.tls_key) {
        (Some(_), None) => Some("http.tls_key"),
        (None, Some(_)) => Some("http.tls_cert"),
        _ => None,
    };
    if let Some(key) = lonely {
        problems.push(at(
            origins,
            key,
            "http.tls_cert and http.tls_key go together",
        ));
    }
    if http.tls_cert.is_some() && http.plaintext_behind_proxy {
        problems.push(at(
            origins,
            "http.plaintext_behind_proxy",
            "with http.tls_cert nothing is in clear: leave one of them out",
        ));
    }
    if !http.listen.ip().is_loopback() && http.tls_cert.is_none() && !http.plaintext_behind_proxy {
        problems.push(at(
            origins,
            "http.listen",
            "an address that other machines reach needs TLS: name http.tls_cert and http.tls_key (PEM files), or \
             listen on 127.0.0.1; where a proxy in front does the TLS and nobody else reaches this address, \
             http.plaintext_behind_proxy = true says so",
        ));
    }
}

/// Command lines are visible to every user of the machine.
fn check_flags_hold_no_password(entries: &[Entry], problems: &mut Vec<Problem>) {
    for entry in entries {
        let Raw::Bare(text) = &entry.raw else {
            continue;
        };
        if entry.path == "store.url"
            && matches!(entry.origin, Origin::Flag(_))
            && StoreUrl::parse(text).is_ok_and(|url| url.has_password())
        {
            problems.push(entry.problem("a password in a flag is visible to every user of this machine: write the URL to the \
                 file, to HEAN__STORE__URL or to $CREDENTIALS_DIRECTORY/keydb_url"
                    .to_owned(),
            ));
        }
    }
}

fn settle_data_dir(
    sources: &Sources,
    settings: &mut Settings,
    demo: bool,
    origins: &BTreeMap<String, Origin>,
    problems: &mut Vec<Problem>,
) {
    if settings.journal.dir != DataDir::Auto {
        return;
    }
    if demo || sources.stateless {
        settings.journal.dir = DataDir::Temporary;
        return;
    }
    let absolute = |path: PathBuf| Some(path).filter(|p| p.is_absolute());
    let found = sources
        .var("STATE_DIRECTORY") // systemd separates several by colons
        .and_then(|dirs| dirs.split(':').next())
        .map(PathBuf::from)
        .and_then(absolute)
        .or_else(|| {
            let base = sources.var("XDG_STATE_HOME").map(PathBuf::from)?;
            absolute(base.join("hean"))
        })
        .or_else(|| {
            let home = sources.var("HOME").map(PathBuf::from)?;
            absolute(home.join(".local/state/hean"))
        });
    match found {
        Some(dir) => settings.journal.dir = DataDir::Path(dir),
        None => problems.push(at(
            origins,
            "journal.dir",
            "neither STATE_DIRECTORY nor XDG_STATE_HOME nor HOME is set: name a directory",
        )),
    }
}

fn warn(settings: &Settings, warnings: &mut Vec<String>) {
    let limits = &settings.risk.limits;
    if limits.position_notional_max < limits.order_notional_max {
        warnings.push(
            "risk.position_notional_max is below risk.order_notional_max: the larger limit has no effect"
                .to_owned(),
        );
    }
    if limits.exposure_notional_max < limits.position_notional_max {
        warnings.push(
            "risk.exposure_notional_max is below risk.position_notional_max: the larger limit has no effect"
                .to_owned(),
        );
    }
    if let Some(url) = &settings.store.url
        && url.has_password()
        && !url.is_tls()
        && !url.is_loopback()
    {
        warnings.push(format!(
            "store.url = {url} sends its password unencrypted: use rediss://"
        ));
    }
}

fn at(origins: &BTreeMap<String, Origin>, key: &str, message: &str) -> Problem {
    Problem {
        origin: origins.get(key).cloned().unwrap_or(Origin::Default),
        key: key.to_owned(),
        message: message.to_owned(),
    }
}
