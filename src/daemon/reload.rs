//! Strategies anew without a restart: their files are looked at each second, and on SIGHUP at once.
//!
//! What has changed is read, checked and built here first; what is wrong changes nothing and is told, in
//! the log and beside the strategy. What is right goes to the kernel as a command, like everything that
//! it is told. Settings that are not of a strategy wait for a restart, and the log says which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Loaded, Settings, Sources};
use crate::kernel::event::{CommandKind, Outcome};
use crate::kernel::strategies::StrategyConfig;
use crate::runtime::hangup::Renewals;
use crate::runtime::mailbox::KernelHandle;
use crate::setup;
use crate::status::ReloadStatus;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon a full queue of commands is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// What is needed to load anew.
#[derive(Debug)]
pub(super) struct Reload {
    /// Where settings come from.
    pub(super) sources: Sources,
    /// As at the start: what waits for a restart is told against these.
    pub(super) settings: Settings,
    /// The configuration file, if there is one.
    pub(super) file: Option<PathBuf>,
    /// How strategies run now.
    pub(super) applied: Vec<StrategyConfig>,
    pub(super) kernel: KernelHandle,
    pub(super) status: Arc<ReloadStatus>,
}

/// What tells a changed file from an unchanged one: its content.
type Seen = BTreeMap<PathBuf, Option<u64>>;

/// What a load found.
enum Found {
    /// The configuration as a whole cannot be used.
    Nothing(String),
    Settings(Box<Loaded>, Vec<(String, Result<StrategyConfig, String>)>),
}

/// Looks and reloads, for ever.
pub(super) async fn run(mut reload: Reload, mut renewals: Renewals) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut loaded = reload.look().await;
    let mut last = loaded.clone();
    let mut told: Vec<String> = Vec::new();
    loop {
        // Held until all is read.
        let renewal = tokio::select! {
            Some(renewal) = renewals.recv() => Some(renewal),
            _ = every.tick() => None,
        };
        let asked = renewal.is_some();
        let now = reload.look().await;
        // What still changes is being written.
        let settled = now == last;
        last = now;
        if asked || (settled && last != loaded) {
            reload.reload(asked, &mut told).await;
            // Perhaps a strategy names another file now; what it held meanwhile is seen at the next look.
            let more = reload.look().await;
            loaded = more.into_iter().chain(last.clone()).collect();
            loaded.retain(|path, _| reload.watches(path));
            last.clone_from(&loaded);
        }
        drop(renewal);
    }
}

impl Reload {
    /// The files of the configuration and of the scripts.
    fn files(&self) -> Vec<PathBuf> {
        let scripts = self.applied.iter().filter_map(|c| c.source.as_ref());
        let scripts = scripts.map(|s| PathBuf::from(&s.name));
        self.file.clone().into_iter().chain(scripts).collect()
    }

    fn watches(&self, path: &Path) -> bool {
        self.files().iter().any(|file| file == path)
    }

    /// What is in them.
    async fn look(&self) -> Seen {
        let files = self.files();
        // A file system that hangs must not hold a worker.
        let read = tokio::task::spawn_blocking(move || {
            let content = |path: &Path| {
                let bytes = std::fs::read(path).ok()?;
                Some(xxhash_rust::xxh3::xxh3_64(&bytes))
            };
            files
                .into_iter()
                .map(|path| {
                    let content = content(&path);
                    (path, content)
                })
                .collect()
        });
        read.await.unwrap_or_default()
    }

    async fn reload(&mut self, asked: bool, told: &mut Vec<String>) {
        if asked {
            tracing::info!("SIGHUP: the configuration and the scripts are read anew");
        }
        let sources = self.sources.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&sources)).await;
        let (loaded, strategies) = match loaded {
            Ok(Found::Settings(loaded, strategies)) => (loaded, strategies),
            Ok(Found::Nothing(why)) => {
                tracing::error!("nothing was reloaded, all goes on as it was: {why}");
                let names = self.applied.iter().map(|c| c.name.clone());
                self.status
                    .set(names.map(|name| (name, why.clone())).collect());
                return;
            }
            Err(error) => {
                tracing::error!(%error, "nothing was reloaded");
                return;
            }
        };
        let mut changed = false;
        for (name, built) in strategies {
            changed |= self.apply(&name, built).await;
        }
        let waiting = self.waiting(&loaded.settings);
        if waiting.is_empty() {
            if asked && !changed {
                tracing::info!("nothing of a running strategy has changed");
            }
        } else if waiting != *told {
            tracing::warn!("this waits for a restart: {}", waiting.join(", "));
        }
        *told = waiting;
    }

    /// Whether the strategy runs differently now.
    async fn apply(&mut self, name: &str, built: Result<StrategyConfig, String>) -> bool {
        let Some(index) = self.applied.iter().position(|c| c.name == *name) else {
            // A new one: told among what waits for a restart.
            if let Err(why) = built {
                tracing::error!(strategy = name, "this new strategy could not start: {why}");
            }
            return false;
        };
        let built = built.map(|mut config| {
            // Which instruments it trades waits for a restart.
            if let Some(old) = self.applied.get(index) {
                config.symbols.clone_from(&old.symbols);
            }
            config
        });
        let why = match built {
            Ok(config) if self.applied.get(index) == Some(&config) => {
                self.status.forget(name);
                return false;
            }
            Ok(config) => match self.tell(&config).await {
                Outcome::Done => {
                    self.status.forget(name);
                    tracing::info!(
                        strategy = name,
                        version = config.version_text(),
                        "the strategy was reloaded"
                    );
                    if let Some(slot) = self.applied.get_mut(index) {
                        *slot = config;
                    }
                    return true;
                }
                Outcome::Unfit(why) => why,
                other => format!("the kernel answered {other:?}"),
            },
            Err(why) => why,
        };
        tracing::error!(
            strategy = name,
            "not reloaded, the old version goes on: {why}"
        );
        self.status.fail(name, &why);
        false
    }

    async fn tell(&self, config: &StrategyConfig) -> Outcome {
        loop {
            let wish = CommandKind::Reconfigure(Box::new(config.clone()));
            match self.kernel.command(wish) {
                Ok(outcome) => {
                    let told = outcome.await;
                    return told
                        .unwrap_or_else(|_| Outcome::Unfit("the process is ending".to_owned()));
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// What has changed since the start and cannot change while it runs.
    fn waiting(&self, now: &Settings) -> Vec<String> {
        let runs = |key: &str| {
            let name = key
                .strip_prefix("strategies.")
                .and_then(|k| k.split_once('.'));
            name.is_some_and(|(name, param)| {
                param != "symbols" && self.applied.iter().any(|c| c.name == name)
            })
        };
        let running: Vec<&str> = self.applied.iter().map(|c| c.name.as_str()).collect();
        let wanted = &now.run.strategies;
        let added = wanted
            .iter()
            .filter(|name| !running.contains(&name.as_str()));
        let added: Vec<&str> = added.map(String::as_str).collect();
        let removed = running
            .iter()
            .filter(|name| !wanted.iter().any(|w| w == *name));
        let told_by_name = |key: &str| {
            let of_new = |name: &&str| {
                let rest = key
                    .strip_prefix("strategies.")
                    .and_then(|k| k.strip_prefix(*name));
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            key == "run.strategies" || added.iter().any(of_new)
        };
        let mut waiting = now.changed_since(&self.settings);
        waiting.retain(|key| !runs(key) && !told_by_name(key));
        waiting.extend(added.iter().map(|name| format!("the new strategy {name}")));
        waiting.extend(removed.map(|name| {
            format!("the end of strategy {name} (until then POST /api/v1/strategies/{name}/stop)")
        }));
        waiting
    }
}

/// Reads and checks everything; strategies one by one, so that one with an error does not hold the others.
fn load(sources: &Sources) -> Found {
    let loaded = match config::load(sources) {
        Ok(loaded) => loaded,
        Err(error) => return Found::Nothing(error.to_string()),
    };
    let names = loaded.settings.run.strategies.clone();
    let built = names.into_iter().map(|name| {
        let built = setup::strategy_config(&loaded.settings, &name);
        let built = built.map_err(|error| setup::placed(error, &loaded).to_string());
        (name, built)
    });
    let built = built.collect();
    Found::Settings(Box::new(loaded), built)
}
