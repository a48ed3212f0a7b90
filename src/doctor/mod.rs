//! `hean doctor`: looks at everything that a run will depend on, and says what to do about what it
//! finds. It changes nothing but a scratch file in the data directory, and holds no state.

mod machine;
mod network;
mod report;
mod secrets;
mod store;

pub use report::{Finding, Report, Verdict};

use std::sync::Arc;

use crate::config::{DataDir, Loaded};
use crate::runtime::clock::Clock;
use crate::venue::dns::Resolver;
use crate::venue::net::Net;
use crate::venue::tls;

/// Every check, in the order in which a start meets them. Takes as long as the slowest network
/// time-out, 20 s at most for each venue; venues are asked at the same time.
pub async fn examine(loaded: &Loaded, clock: &Clock) -> Report {
    let settings = &loaded.settings;
    let mut report = Report::default();
    for warning in &loaded.warnings {
        report.warn(
            "configuration",
            "settings",
            warning.clone(),
            "see hean config show --origin",
        );
    }
    if loaded.warnings.is_empty() {
        report.ok("configuration", "settings", "read without a complaint");
    }
    machine::time(&mut report);
    machine::processor(&mut report);
    machine::limits(&mut report);
    machine::listen(&mut report, settings.http.listen);
    secrets::check(
        &mut report,
        loaded,
        std::env::var_os("CREDENTIALS_DIRECTORY"),
    );
    if let DataDir::Path(dir) = &settings.journal.dir {
        let (dir, mut found) = (dir.clone(), Report::default());
        let clock = clock.clone();
        let (sync, quota) = (settings.journal.sync, settings.journal.disk_quota);
        let disk = tokio::task::spawn_blocking(move || {
            machine::disk(&mut found, &dir, sync, quota, &clock);
            found
        });
        match disk.await {
            Ok(found) => report.append(found),
            Err(error) => report.fail(
                "disk",
                "data directory",
                error.to_string(),
                "report this as a bug",
            ),
        }
    }
    let net = match tls::client_config(None) {
        Ok(tls) => Net::new(Resolver::from_system(), tls),
        Err(error) => {
            report.fail("tls", "roots", error.to_string(), "report this as a bug");
            return report;
        }
    };
    if settings.run.demo {
        report.ok("venue", "demo", "the demo needs no network");
    } else {
        network::venues(&mut report, settings, &Arc::new(net.clone()), clock).await;
    }
    match &settings.store.url {
        Some(url) => store::check(&mut report, url, net, settings.store.timeout).await,
        None => report.ok(
            "store",
            "keydb",
            "none configured: the journal alone is durable",
        ),
    }
    report
}
