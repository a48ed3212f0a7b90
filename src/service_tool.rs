//! `hean install-service`: this program as a service of systemd, and the way back.
//!
//! What is installed is in the program itself. Settings that somebody has changed, and the state below
//! /var/lib/hean, are never touched.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::ServiceArgs;
use crate::json::Json;

/// The unit, which names [`PROGRAM`] and [`SETTINGS`].
const UNIT_TEXT: &str = include_str!("../deploy/systemd/hean.service");
/// The settings to begin with.
const SETTINGS_TEXT: &str = include_str!("../deploy/systemd/hean.toml");

const PROGRAM: &str = "usr/local/bin/hean";
const UNIT: &str = "etc/systemd/system/hean.service";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/hean.service";
const SETTINGS_DIR: &str = "etc/hean";
const SETTINGS: &str = "etc/hean/hean.toml";
/// Where a Debian package puts its unit.
const PACKAGED: [&str; 2] = [
    "usr/lib/systemd/system/hean.service",
    "lib/systemd/system/hean.service",
];
/// By this a unit is ours.
const MARK: &str = "# hean as a system service.";

/// Why a service is not installed, or not removed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Not root.
    #[error(
        "installing a service needs root: sudo hean install-service; with --dry-run it says what it would do, \
         with --root DIR it installs elsewhere"
    )]
    NotRoot,
    /// A package manager looks after it.
    #[error(
        "{0} belongs to a package, which has installed the service already: sudo systemctl enable --now hean"
    )]
    Packaged(PathBuf),
    /// Somebody else's unit has the name.
    #[error("{0} is not from this program: remove or rename it first")]
    Foreign(PathBuf),
    /// Nothing to remove.
    #[error("there is no {0}: the service is not installed")]
    Absent(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// systemctl failed.
    #[error("systemctl {args} failed: {why}")]
    Systemctl {
        /// Its arguments.
        args: String,
        /// What it said.
        why: String,
    },
}

/// What was done, or would be.
#[derive(Debug)]
pub struct Report {
    dry_run: bool,
    steps: Vec<(&'static str, String)>,
    next: Vec<String>,
}

/// Installs or removes the service; `program` is the file of this program.
pub fn run(args: &ServiceArgs, program: &Path) -> Result<Report, ServiceError> {
    if args.root.is_none() && !args.dry_run && !rustix::process::geteuid().is_root() {
        return Err(ServiceError::NotRoot);
    }
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    let mut job = Job {
        root,
        // Only where it runs, and for the machine that it runs.
        systemd: args.root.is_none() && Path::new("/run/systemd/system").is_dir(),
        report: Report {
            dry_run: args.dry_run,
            steps: Vec::new(),
            next: Vec::new(),
        },
    };
    if args.uninstall {
        job.uninstall()?;
    } else {
        job.install(program)?;
    }
    Ok(job.report)
}

struct Job<'a> {
    root: &'a Path,
    systemd: bool,
    report: Report,
}

impl Job<'_> {
    fn install(&mut self, program: &Path) -> Result<(), ServiceError> {
        if let Some(unit) = PACKAGED
            .map(|p| self.root.join(p))
            .iter()
            .find(|p| p.exists())
        {
            return Err(ServiceError::Packaged(unit.clone()));
        }
        let unit = self.root.join(UNIT);
        let installed = read(&unit)?;
        if installed.as_ref().is_some_and(|text| !is_ours(text)) {
            return Err(ServiceError::Foreign(unit));
        }
        let bytes = fs::read(program).map_err(io("read", program))?;
        self.put(PROGRAM, &bytes, 0o755)?;
        self.put(UNIT, UNIT_TEXT.as_bytes(), 0o644)?;
        let settings = self.root.join(SETTINGS);
        if settings.exists() {
            self.tell("kept", &settings.display());
        } else {
            self.put(SETTINGS, SETTINGS_TEXT.as_bytes(), 0o644)?;
        }
        self.systemctl(&["daemon-reload"])?;
        let start = if installed.is_some() {
            "restart"
        } else {
            "enable --now"
        };
        self.report.next = vec![
            format!("what it trades is in /{SETTINGS}; after a change: hean config check"),
            format!("sudo systemctl {start} hean"),
            "journalctl -fu hean        hean top        hean status".to_owned(),
        ];
        Ok(())
    }

    fn uninstall(&mut self) -> Result<(), ServiceError> {
        let unit = self.root.join(UNIT);
        match read(&unit)? {
            None => return Err(ServiceError::Absent(unit)),
            Some(text) if !is_ours(&text) => return Err(ServiceError::Foreign(unit)),
            Some(_) => {}
        }
        self.systemctl(&["disable", "--now", "hean.service"])?;
        for path in [WANTED, UNIT, PROGRAM] {
            self.remove(path)?;
        }
        let settings = self.root.join(SETTINGS);
        match read(&settings)? {
            Some(text) if text == SETTINGS_TEXT.as_bytes() => {
                self.remove(SETTINGS)?;
                let dir = self.root.join(SETTINGS_DIR);
                // Somebody's scripts or certificates may be in it.
                if !self.report.dry_run && fs::remove_dir(&dir).is_ok() {
                    self.tell("removed", &dir.display());
                }
            }
            Some(_) => self.tell("kept", &settings.display()),
            None => {}
        }
        self.systemctl(&["daemon-reload"])?;
        self.report.next = vec![
            "the state is kept in /var/lib/hean (/var/lib/private/hean); a later installation goes on from it"
                .to_owned(),
        ];
        Ok(())
    }

    fn tell(&mut self, done: &'static str, what: &impl ToString) {
        self.report.steps.push((done, what.to_string()));
    }

    /// Writes a file whole or not at all; one that is as it should be stays.
    fn put(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<(), ServiceError> {
        let path = self.root.join(path);
        let before = read(&path)?;
        if before.as_deref() == Some(bytes) {
            self.tell("kept", &path.display());
            return Ok(());
        }
        if !self.report.dry_run {
            write(&path, bytes, mode)?;
        }
        let done = if before.is_some() {
            "replaced"
        } else {
            "wrote"
        };
        self.tell(done, &path.display());
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), ServiceError> {
        let path = self.root.join(path);
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        if !self.report.dry_run {
            fs::remove_file(&path).map_err(io("remove", &path))?;
        }
        self.tell("removed", &path.display());
        Ok(())
    }

    fn systemctl(&mut self, args: &[&str]) -> Result<(), ServiceError> {
        if !self.systemd {
            return Ok(());
        }
        let text = args.join(" ");
        if !self.report.dry_run {
            let failed = |why: String| ServiceError::Systemctl {
                args: text.clone(),
                why,
            };
            let output = Command::new("systemctl").args(args).output();
            let output = output.map_err(|error| failed(error.to_string()))?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                return Err(failed(why.trim().to_owned()));
            }
        }
        self.tell("ran", &format!("systemctl {text}"));
        Ok(())
    }
}

impl Report {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        for (done, what) in &self.steps {
            let would = match *done {
                "wrote" => "write",
                "replaced" => "replace",
                "kept" => "keep",
                "removed" => "remove",
                _ => "run",
            };
            lines.push(if self.dry_run {
                format!("would {would:<8}{what}")
            } else {
                format!("{done:<9}{what}")
            });
        }
        lines.push("next:".to_owned());
        lines.extend(self.next.iter().map(|step| format!("  {step}")));
        lines.join("\n")
    }

    /// For programs.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("dry_run").bool(self.dry_run);
            j.key("steps").array(|j| {
                for (done, what) in &self.steps {
                    j.object(|j| {
                        j.key("done").text(done);
                        j.key("what").text(what);
                    });
                }
            });
            j.key("next").array(|j| {
                for step in &self.next {
                    j.text(step);
                }
            });
        });
        json.into_bytes()
    }
}

fn is_ours(unit: &[u8]) -> bool {
    unit.starts_with(MARK.as_bytes())
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServiceError {
    move |error| ServiceError::Io {
        what,
        path: path.to_owned(),
        error,
    }
}

/// The content of a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ServiceError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("read", path)(error)),
    }
}

/// Beside its place first, then over it: a running program cannot be written to, but it can be replaced.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ServiceError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(io("make", dir))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let written = (|| {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&fresh)?;
        // Whatever the umask says: the service has another user.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    written.map_err(io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(root: &Path) -> ServiceArgs {
        ServiceArgs {
            root: Some(root.to_owned()),
            ..ServiceArgs::default()
        }
    }

    /// What is below a directory: path and mode.
    fn files(root: &Path) -> Vec<(String, u32)> {
        let mut all = Vec::new();
        let mut dirs = vec![root.to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).expect("directory") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let mode = path.metadata().expect("file").permissions().mode() & 0o7777;
                    let path = path.strip_prefix(root).expect("below");
                    all.push((path.display().to_string(), mode));
                }
            }
        }
        all.sort();
        all
    }

    fn program(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("program");
        fs::write(&path, text).expect("written");
        path
    }

    fn done(report: &Report) -> Vec<&'static str> {
        report.steps.iter().map(|(done, _)| *done).collect()
    }

    #[test]
    fn it_comes_and_goes_and_leaves_what_is_not_its_own() {
        let (home, root) = (
            tempfile::tempdir().expect("dir"),
            tempfile::tempdir().expect("dir"),
        );
        let (first, root) = (program(home.path(), "one"), root.path());
        let dry = ServiceArgs {
            dry_run: true,
            ..args(root)
        };
        let report = run(&dry, &first).expect("a plan");
        assert_eq!(done(&report), ["wrote", "wrote", "wrote"]);
        assert_eq!(files(root), []);

        let report = run(&args(root), &first).expect("installed");
        assert_eq!(done(&report), ["wrote", "wrote", "wrote"]);
        assert!(report.next.iter().any(|step| step.contains("enable --now")));
        let three = [
            (SETTINGS.to_owned(), 0o644),
            (UNIT.to_owned(), 0o644),
            (PROGRAM.to_owned(), 0o755),
        ];
        assert_eq!(files(root), three);
        let report = run(&args(root), &first).expect("again");
        assert_eq!(done(&report), ["kept", "kept", "kept"]);

        // A new version, over settings of the user and with state in its place.
        let mine = "[run]\nsymbols = [\"BTCUSDT\"]\n";
        fs::write(root.join(SETTINGS), mine).expect("written");
        let state = root.join("var/lib/private/hean");
        fs::create_dir_all(&state).expect("made");
        fs::write(state.join("installation"), "x").expect("written");
        let second = program(home.path(), "two");
        let report = run(&args(root), &second).expect("updated");
        assert_eq!(done(&report), ["replaced", "kept", "kept"]);
        assert!(report.next.iter().any(|step| step.contains("restart")));
        assert_eq!(fs::read(root.join(PROGRAM)).expect("there"), b"two");

        let remove = ServiceArgs {
            uninstall: true,
            ..args(root)
        };
        let report = run(&remove, &second).expect("removed");
        assert_eq!(done(&report), ["removed", "removed", "kept"]);
        let names: Vec<String> = files(root).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [SETTINGS, "var/lib/private/hean/installation"]);
        assert_eq!(
            fs::read_to_string(root.join(SETTINGS)).expect("there"),
            mine
        );
        assert!(matches!(
            run(&remove, &second),
            Err(ServiceError::Absent(_))
        ));
        // Settings that nobody has changed go, too.
        fs::remove_file(root.join(SETTINGS)).expect("removed");
        run(&args(root), &second).expect("installed");
        run(&remove, &second).expect("removed");
        assert!(!root.join(SETTINGS_DIR).exists());
    }

    #[test]
    fn what_others_have_installed_is_left_alone() {
        for (path, text) in [(UNIT, "[Unit]\n"), (PACKAGED[0], UNIT_TEXT)] {
            let root = tempfile::tempdir().expect("dir");
            let program = program(root.path(), "one");
            let unit = root.path().join(path);
            fs::create_dir_all(unit.parent().expect("a parent")).expect("made");
            fs::write(&unit, text).expect("written");
            let error = run(&args(root.path()), &program).expect_err("refused");
            assert!(
                error.to_string().contains(&unit.display().to_string()),
                "{error}"
            );
            assert!(!root.path().join(PROGRAM).exists());
        }
    }

    #[test]
    fn the_unit_names_what_is_installed() {
        let start = format!("\nExecStart=hean run --config /{SETTINGS}\n");
        assert!(UNIT_TEXT.contains(&start));
        assert!(UNIT_TEXT.contains(&format!("\nExecPaths=-/{PROGRAM} ")));
        assert!(is_ours(UNIT_TEXT.as_bytes()));
    }
}
