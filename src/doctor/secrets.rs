//! Keys and who may read them: files with secrets, the API's tokens and TLS key, and the venues' keys.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Report;
use crate::config::{DataDir, Loaded, Origin, StoreUrl};

/// Secrets that lie in the data directory.
const KEPT: [&str; 1] = ["tokens.json"];

/// Looks at every secret that the settings lead to. Reads none of them.
pub(super) fn check(report: &mut Report, loaded: &Loaded, credentials: Option<OsString>) {
    let settings = &loaded.settings;
    let in_file = |key: &str| matches!(loaded.origin(key), Origin::File { .. });
    let password = settings
        .store
        .url
        .as_ref()
        .is_some_and(StoreUrl::has_password);
    if let Some(file) = &loaded.file
        && ((password && in_file("store.url")) || in_file("http.token"))
    {
        private(report, "configuration", file);
    }
    if let Some(dir) = credentials {
        let names = fs::read_dir(&dir).into_iter().flatten().flatten();
        let mut files: Vec<_> = names
            .map(|entry| entry.path())
            .filter(|p| p.is_file())
            .collect();
        files.sort();
        for file in &files {
            private(report, "credential", file);
        }
    }
    if let DataDir::Path(dir) = &settings.journal.dir {
        for file in KEPT
            .map(|name| dir.join(name))
            .iter()
            .filter(|f| f.exists())
        {
            private(report, "tokens", file);
        }
    }
    if let Some(key) = &settings.http.tls_key {
        private(report, "TLS key", key);
    }
    let http = &settings.http;
    if !http.listen.ip().is_loopback() && http.tls_key.is_none() && !http.plaintext_behind_proxy {
        report.fail(
            "keys",
            "API",
            format!("{} is an address that others reach, without TLS", http.listen),
            "http.tls_cert and http.tls_key, or listen on 127.0.0.1: the daemon does not start like this",
        );
    }
    report.ok(
        "keys",
        "venues",
        "none needed: public data is read without, and orders are matched here",
    );
}

/// A file with a secret: ours to read, and nobody else's but its group's.
fn private(report: &mut Report, what: &str, file: &Path) {
    let subject = format!("{what} {}", file.display());
    // Root reads everything: it is opened, not asked about.
    if let Err(error) = File::open(file) {
        return report.fail(
            "keys",
            subject,
            error.to_string(),
            format!(
                "correct its path, or let this user read it: chown or chgrp {}",
                file.display()
            ),
        );
    }
    match fs::metadata(file).map(|about| about.permissions().mode()) {
        Ok(mode) if mode & 0o007 != 0 => report.warn(
            "keys",
            subject,
            format!(
                "every user of this machine may read it (mode {:o})",
                mode & 0o777
            ),
            format!("chmod 640 {}", file.display()),
        ),
        Ok(_) => report.ok("keys", subject, "private"),
        Err(error) => report.fail("keys", subject, error.to_string(), "see the error"),
    }
}
