//! The machine: clock, processor, limits, port, disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::Report;
use crate::config::SyncPolicy;
use crate::runtime::clock::Clock;

/// Writes that are timed; the slow ones among them are what orders wait for.
const WRITES: usize = 100;
/// As large as a batch with a few orders.
const WRITE_BYTES: usize = 512;
/// A sync at the median that makes orders feel slow.
const SYNC_NS_SLOW: i64 = 10_000_000;
/// Free space that a start should find at least: two segments and the reserve, with room to grow.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Open files that sockets of a few hundred clients and venues may need.
const FILES_MIN: u64 = 4_096;

/// Whether somebody keeps the clock right, as far as the kernel knows, and whether it is in the past.
pub(super) fn time(report: &mut Report) {
    /// 2025-01-01: a clock before that was never set.
    const NEVER_SET_S: i64 = 1_735_689_600;
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    if now < NEVER_SET_S {
        return report.fail(
            "clock",
            "date",
            format!("the clock says {now} s since 1970: it was never set"),
            "set the clock, and install chrony or systemd-timesyncd",
        );
    }
    // Those that run leave traces; the kernel's own flag needs a system call that rustix lacks.
    let synchronised = [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/chronyd.pid",
        "/run/chronyd.pid",
        "/run/ntpd.pid",
    ]
    .iter()
    .find(|path| Path::new(path).exists());
    match synchronised {
        Some(trace) => report.ok("clock", "ntp", format!("kept right ({trace})")),
        None => report.warn(
            "clock",
            "ntp",
            "nobody seems to keep the clock right",
            "install chrony or systemd-timesyncd; in a container the host's clock counts, and the \
             comparison with the venues below tells how far off it is",
        ),
    }
}

/// Cores, and settings that make threads wake up late.
pub(super) fn processor(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores < 2 {
        report.warn(
            "processor",
            "cores",
            "one core: the kernel thread, the journal and the sockets take turns",
            "two or more cores, with kernel.spin_us at its default",
        );
    } else {
        report.ok("processor", "cores", format!("{cores} cores"));
    }
    if let Some(governor) = word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") {
        if governor == "performance" {
            report.ok("processor", "governor", governor);
        } else {
            report.hint(
                "processor",
                "governor",
                format!("{governor}: a core that slept answers late"),
                "cpupower frequency-set -g performance, where latency matters",
            );
        }
    }
    isolation(
        report,
        cores,
        word("/sys/devices/system/cpu/isolated").as_deref(),
    );
    if let Some(pages) = word("/sys/kernel/mm/transparent_hugepage/enabled") {
        huge_pages(report, &pages);
    }
}

/// Whether a core is kept free for the kernel thread.
fn isolation(report: &mut Report, cores: usize, isolated: Option<&str>) {
    /// With fewer, one that is kept free is missing elsewhere.
    const CORES_TO_SPARE: usize = 4;
    match isolated {
        Some(isolated) if !isolated.is_empty() => {
            report.ok("processor", "isolated cores", isolated);
        }
        Some(_) if cores >= CORES_TO_SPARE => report.hint(
            "processor",
            "isolated cores",
            "none: other programs take turns with the kernel thread",
            "where microseconds matter: isolcpus=, nohz_full= and rcu_nocbs= of the system's kernel, taskset or \
             CPUAffinity= for hean, and a larger kernel.spin_us",
        ),
        Some(_) | None => report.ok("processor", "isolated cores", "none, and none to spare"),
    }
}

/// Huge pages that the system makes unasked stop threads while it does, and KeyDB's snapshots copy them whole.
fn huge_pages(report: &mut Report, setting: &str) {
    let chosen = setting.split(['[', ']']).nth(1).unwrap_or(setting);
    if chosen == "always" {
        report.hint(
            "processor",
            "huge pages",
            "always: threads wait while the system puts pages together, and a store's snapshots take more memory",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, at each boot",
        );
    } else {
        report.ok("processor", "huge pages", chosen);
    }
}

/// What the process may open.
pub(super) fn limits(report: &mut Report) {
    let files = getrlimit(Resource::Nofile).current;
    match files {
        Some(files) if files < FILES_MIN => report.warn(
            "limits",
            "open files",
            format!("{files}: few for sockets of clients and venues"),
            format!("ulimit -n {FILES_MIN}, or LimitNOFILE= of the service"),
        ),
        Some(files) => report.ok("limits", "open files", files.to_string()),
        None => report.ok("limits", "open files", "without limit"),
    }
}

/// Whether the API's port is free.
pub(super) fn listen(report: &mut Report, listen: SocketAddr) {
    match TcpListener::bind(listen) {
        Ok(_) => report.ok("port", listen.to_string(), "free"),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => report.warn(
            "port",
            listen.to_string(),
            "taken",
            "right if the daemon runs already; otherwise --listen with another port",
        ),
        Err(error) => report.fail(
            "port",
            listen.to_string(),
            error.to_string(),
            "name an address of this machine with --listen, and a port above 1023",
        ),
    }
}

/// The data directory: may it be written, who else may read it, how much fits, how fast it syncs.
pub(super) fn disk(report: &mut Report, dir: &Path, sync: SyncPolicy, quota: u64, clock: &Clock) {
    let subject = || dir.display().to_string();
    if !dir.exists() {
        // The first start makes it, below what is there.
        let above = dir.ancestors().find(|above| above.exists());
        let Some(parent) = above.filter(|above| above.is_dir()) else {
            return report.fail(
                "disk",
                subject(),
                "what lies above it is no directory",
                "correct --data-dir",
            );
        };
        report.ok("disk", subject(), "not there yet: the first start makes it");
        space(report, parent, quota);
        return speed(report, parent, sync, clock);
    }
    match fs::metadata(dir).map(|about| about.permissions().mode()) {
        Ok(mode) if mode & 0o007 != 0 => report.warn(
            "disk",
            subject(),
            format!(
                "every user of this machine may look into it (mode {:o})",
                mode & 0o777
            ),
            format!("chmod 700 {}", dir.display()),
        ),
        Ok(_) => report.ok("disk", subject(), "only its user may look into it"),
        Err(error) => report.fail("disk", subject(), error.to_string(), "see the error"),
    }
    space(report, dir, quota);
    speed(report, dir, sync, clock);
}

fn space(report: &mut Report, dir: &Path, quota: u64) {
    match free_bytes(dir) {
        Ok(free) if free < FREE_BYTES_MIN => report.fail(
            "disk",
            "free space",
            format!("{} MiB", free >> 20),
            "make room: with a full disk no order is opened",
        ),
        Ok(free) if free < quota => report.warn(
            "disk",
            "free space",
            format!(
                "{} MiB, less than the journal may take ({} MiB)",
                free >> 20,
                quota >> 20
            ),
            "lower journal.disk_quota, or make room",
        ),
        Ok(free) => report.ok("disk", "free space", format!("{} MiB", free >> 20)),
        Err(error) => report.warn("disk", "free space", error.to_string(), "see the error"),
    }
}

fn speed(report: &mut Report, dir: &Path, sync: SyncPolicy, clock: &Clock) {
    let times = match time_syncs(dir, clock) {
        Ok(times) => times,
        Err(error) => {
            return report.fail(
                "disk",
                "write and sync",
                format!("{}: {error}", dir.display()),
                "name another directory with --data-dir, or give this one to the user that runs hean",
            );
        }
    };
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let micros = |ns: i64| format!("{} us", ns / 1_000);
    let found = format!(
        "p50 {}, p99 {} for {WRITE_BYTES} bytes and fdatasync",
        micros(at(50)),
        micros(at(99))
    );
    if at(50) > SYNC_NS_SLOW && sync == SyncPolicy::Always {
        report.warn(
            "disk",
            "write and sync",
            format!("{found}: each order waits for that"),
            "a disk with power-loss protection; on paper journal.sync = \"interval\" will do",
        );
    } else {
        report.ok("disk", "write and sync", found);
    }
}

/// Durations of a write with its sync, in ns, the shortest first.
fn time_syncs(dir: &Path, clock: &Clock) -> io::Result<Vec<i64>> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    let timed = timed_writes(file, clock);
    fs::remove_file(&path)?;
    let mut times = timed?;
    times.sort_unstable();
    Ok(times)
}

fn timed_writes(mut file: File, clock: &Clock) -> io::Result<Vec<i64>> {
    // In place, as in a preallocated segment.
    file.write_all(&vec![0; WRITES * WRITE_BYTES])?;
    file.sync_all()?;
    io::Seek::rewind(&mut file)?;
    (0..WRITES)
        .map(|_| {
            let began = clock.now();
            file.write_all(&[1; WRITE_BYTES])?;
            file.sync_data()?;
            Ok(clock.now().since(began))
        })
        .collect()
}

fn free_bytes(dir: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(dir)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

fn word(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn verdicts(report: &Report) -> Vec<(&str, Verdict)> {
        report
            .findings
            .iter()
            .map(|f| (f.subject.as_str(), f.verdict))
            .collect()
    }

    #[test]
    fn hints_fail_nobody() {
        for (setting, verdict) in [
            ("[always] madvise never", Verdict::Hint),
            ("always [madvise] never", Verdict::Ok),
            ("always madvise [never]", Verdict::Ok),
        ] {
            let mut report = Report::default();
            huge_pages(&mut report, setting);
            assert_eq!(report.verdict(), verdict, "{setting}");
        }
        for (cores, isolated, verdict) in [
            (8, Some(""), Verdict::Hint),
            (8, Some("6-7"), Verdict::Ok),
            (2, Some(""), Verdict::Ok),
            (8, None, Verdict::Ok),
        ] {
            let mut report = Report::default();
            isolation(&mut report, cores, isolated);
            assert_eq!(report.verdict(), verdict, "{cores} {isolated:?}");
        }
    }

    #[test]
    fn a_taken_port_is_told() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = taken.local_addr().expect("bound");
        let mut report = Report::default();
        listen(&mut report, addr);
        assert_eq!(report.verdict(), Verdict::Warn);
        drop(taken);
        let mut report = Report::default();
        listen(&mut report, "192.0.2.1:80".parse().expect("an address"));
        assert_eq!(report.verdict(), Verdict::Fail);
    }

    #[test]
    fn a_data_directory_is_measured_and_left_as_it_was() {
        let dir = tempfile::tempdir().expect("directory");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("made");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("set");
        let mut report = Report::default();
        disk(&mut report, &data, SyncPolicy::Always, 0, &Clock::start());
        let name = data.display().to_string();
        let verdicts = verdicts(&report);
        assert_eq!(verdicts.first(), Some(&(name.as_str(), Verdict::Warn)));
        assert!(
            verdicts.iter().any(|(s, _)| *s == "write and sync"),
            "{verdicts:?}"
        );
        assert_eq!(fs::read_dir(&data).expect("there").count(), 0);
        let mut report = Report::default();
        let new = data.join("not/yet");
        disk(&mut report, &new, SyncPolicy::Always, 0, &Clock::start());
        assert_eq!(report.verdict(), Verdict::Ok);
        assert!(!new.exists());
    }

    #[test]
    fn a_place_that_cannot_be_is_a_failure() {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let mut report = Report::default();
        disk(
            &mut report,
            &file.join("data"),
            SyncPolicy::Os,
            0,
            &Clock::start(),
        );
        assert_eq!(report.verdict(), Verdict::Fail);
    }
}
