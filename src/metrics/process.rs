//! Metrics of the process, under the names that every Prometheus client library uses, read from
//! `/proc` when somebody scrapes. Written as text here: the CPU time is a counter with a fraction,
//! which the recorder's counters cannot hold.

use std::fmt::Write as _;
use std::fs;

/// The unit of times in `/proc`: USER_HZ, which is 100 on every platform that this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the process metrics to a scrape. What cannot be read is left out.
pub(crate) fn write(out: &mut String) {
    let Some(stat) = read("/proc/self/stat").and_then(|text| Stat::parse(&text)) else {
        return;
    };
    let boot = read("/proc/stat").and_then(|text| number_after(&text, "btime "));
    let limits = read("/proc/self/limits").and_then(|text| number_after(&text, "Max open files"));
    let fds = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    let rows: [(&str, &str, &str, Option<f64>); 6] = [
        (
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time spent.",
            Some(stat.cpu_ticks / TICKS_PER_SECOND),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            read("/proc/self/status")
                .and_then(|text| number_after(&text, "VmRSS:"))
                .map(|kib| kib * 1024.0),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory.",
            Some(stat.virtual_bytes),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start of the process since the Unix epoch.",
            boot.map(|boot| boot + stat.start_ticks / TICKS_PER_SECOND),
        ),
        (
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            fds.map(|count| count as f64),
        ),
        (
            "process_max_fds",
            "gauge",
            "Largest number of open file descriptors.",
            limits,
        ),
    ];
    for (name, kind, help, value) in rows {
        let Some(value) = value else { continue };
        let text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        out.write_str(&text)
            .expect("writing to a String cannot fail");
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The first number behind `label`, which begins a line.
fn number_after(text: &str, label: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(label))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// What is used of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
    virtual_bytes: f64,
}

impl Stat {
    /// The second field is the program's name in parentheses and may hold anything, blanks too:
    /// fields are counted from the last parenthesis, which ends the second.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_shift_the_fields() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 12345 4096 77\n";
        let stat = Stat::parse(text).expect("fields");
        assert_eq!(
            stat,
            Stat {
                cpu_ticks: 200.0,
                start_ticks: 12_345.0,
                virtual_bytes: 4_096.0
            }
        );
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_all_of_them() {
        let mut text = String::new();
        write(&mut text);
        assert_eq!(text.matches("# TYPE process_").count(), 6, "{text}");
    }
}
