//! Settings: what can be configured, where a value came from, and what is wrong with it.
//!
//! Layers, weakest first: defaults, demo defaults, file, credentials directory, environment
//! (`HEAN__SECTION__KEY`), flags. Every layer is reduced to (key, value, origin) and goes through
//! the one table in `keys.rs` and `trading_keys.rs`, so a key exists in all layers or in none.
//!
//! Invariants: unknown keys are errors; all problems are reported at once; a password in the store's
//! URL never reaches `Debug`, `Display` or an error; money and rates never pass through `f64`.

mod error;
mod file;
mod keys;
mod load;
mod names;
mod raw;
mod settings;
mod show;
mod trace_keys;
mod trading_keys;
mod url;

pub use error::{ConfigError, Origin, Problem};
pub use file::DEFAULT_FILE;
pub use keys::key_names;
pub use load::{KnownStrategy, Loaded, Override, Sources, load};
pub use raw::parse_duration;
pub use settings::{
    DataDir, JournalSettings, KernelSettings, LogFormat, LogSettings, OrderSettings, PaperSettings,
    RecordSettings, RiskSettings, RunSettings, Settings, StoreSettings, SyncPolicy, TraceSettings,
    VenueSettings,
};
pub use url::StoreUrl;
