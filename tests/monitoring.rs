//! What watches over a daemon: recording rules, alerts with their runbook, dashboards. Each is held
//! against the table of metrics, and against promtool.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hean::metrics::{EVENTS, METRICS};

#[path = "monitoring/queries.rs"]
mod dashboards;

use dashboards::queries;

/// Names that come from Prometheus itself and from the exporters of the compose stack.
const FOREIGN: &[&str] = &["up", "ALERTS", "process_", "node_", "container_", "redis_"];

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    let path = repo(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// Whether promtool is there; without it a test is skipped aloud, and fails in CI.
#[expect(clippy::print_stdout, reason = "the only channel of a test")]
fn has_promtool() -> bool {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    assert!(found || !ci(), "promtool is missing, and CI is set");
    if !found {
        println!("skipped: no promtool");
    }
    found
}

/// The alerts of the file: name and the lines of its rule.
fn alerts() -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for line in read("deploy/prometheus/rules/alerts.yml").lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            out.push((name.to_owned(), Vec::new()));
        } else if let Some((_, lines)) = out.last_mut() {
            lines.push(line.trim().to_owned());
        }
    }
    out
}

fn value<'a>(lines: &'a [String], key: &str) -> &'a str {
    lines
        .iter()
        .find_map(|line| line.strip_prefix(key))
        .unwrap_or_default()
        .trim()
        .trim_matches('"')
}

#[test]
fn every_alert_says_how_grave_it_is_and_what_to_do() {
    let (runbook, tests) = (
        read("deploy/prometheus/RUNBOOK.md"),
        read("deploy/prometheus/tests/alerts.yml"),
    );
    let alerts = alerts();
    assert!(alerts.len() >= 20, "only {} alerts", alerts.len());
    let mut sections: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    for (name, lines) in &alerts {
        let severity = value(lines, "labels: {severity: ").trim_end_matches('}');
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: severity {severity:?}"
        );
        for key in ["summary:", "description:"] {
            assert!(!value(lines, key).is_empty(), "{name} has no {key}");
        }
        let anchor = format!("RUNBOOK.md#{}", name.to_lowercase());
        assert_eq!(value(lines, "runbook:"), anchor, "{name}");
        assert!(
            sections.remove(name.as_str()),
            "the runbook has no section {name}"
        );
        let case = format!("alertname: {name}\n");
        assert!(
            tests.matches(&case).count() >= 2,
            "{name} is not tested to fire and to clear"
        );
    }
    assert!(sections.is_empty(), "no alert for {sections:?}");
}

#[test]
fn promtool_finds_rules_correct_and_their_tests_pass() {
    if !has_promtool() {
        return;
    }
    for (args, path) in [
        (["check", "rules"], "deploy/prometheus/rules/recording.yml"),
        (["check", "rules"], "deploy/prometheus/rules/alerts.yml"),
        (["test", "rules"], "deploy/prometheus/tests/alerts.yml"),
    ] {
        let output = Command::new("promtool")
            .args(args)
            .arg(repo(path))
            .output()
            .expect("promtool");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{path}: {said}");
    }
}

/// Names in a query that look like metrics: words of more than one part, without label names and the like.
fn metrics_of(query: &str) -> BTreeSet<String> {
    // What stands in braces are labels, what stands in quotes are values.
    let mut bare = String::new();
    let (mut depth, mut quoted) = (0_u32, false);
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth -= 1,
            _ if quoted || depth > 0 => {}
            _ => bare.push(c),
        }
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    bare.split(|c| !is_name(c))
        .filter(|word| {
            FOREIGN.contains(word)
                || word.starts_with("hean")
                || word.starts_with("trading_")
                || FOREIGN
                    .iter()
                    .any(|f| f.ends_with('_') && word.starts_with(f))
        })
        .map(str::to_owned)
        .collect()
}

fn recorded() -> BTreeSet<String> {
    read("deploy/prometheus/rules/recording.yml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: ").map(str::to_owned))
        .collect()
}

fn is_exported(name: &str) -> bool {
    let base = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    METRICS
        .iter()
        .chain(EVENTS)
        .any(|metric| metric.name == name || metric.name == base)
}

#[test]
fn rules_and_dashboards_name_metrics_that_exist() {
    let recorded = recorded();
    let known = |name: &str| {
        is_exported(name)
            || recorded.contains(name)
            || FOREIGN
                .iter()
                .any(|f| name == *f || (f.ends_with('_') && name.starts_with(f)))
    };
    let mut asked = BTreeSet::new();
    for (place, query) in queries() {
        let names = metrics_of(&query);
        assert!(!names.is_empty(), "{place}: no metric in {query}");
        for name in names {
            assert!(known(&name), "{place}: there is no metric {name}");
            asked.insert(name);
        }
    }
    for file in ["recording", "alerts"] {
        for line in read(&format!("deploy/prometheus/rules/{file}.yml")).lines() {
            let line = line.trim();
            let expr = line.strip_prefix("expr:").unwrap_or(line);
            if [
                "- record",
                "- name",
                "- alert",
                "summary",
                "description",
                "runbook",
                "#",
            ]
            .iter()
            .any(|p| line.starts_with(p))
            {
                continue;
            }
            for name in metrics_of(expr) {
                assert!(known(&name), "{file}.yml: there is no metric {name}");
                asked.insert(name);
            }
        }
    }
    for rule in &recorded {
        assert!(asked.contains(rule), "nobody asks for {rule}");
    }
}

#[test]
fn every_metric_of_trading_is_on_a_dashboard() {
    let asked: BTreeSet<String> = queries().iter().flat_map(|(_, q)| metrics_of(q)).collect();
    let rules = read("deploy/prometheus/rules/recording.yml");
    for metric in METRICS.iter().chain(EVENTS) {
        let shown =
            asked.iter().any(|name| name.starts_with(metric.name)) || rules.contains(metric.name);
        let elsewhere = [
            "hean_recorder_",
            "hean_stream_",
            "hean_feed_ignored",
            "hean_venue_substitute",
            "hean_journal_",
            "hean_trace_",
        ]
        .iter()
        .any(|p| metric.name.starts_with(p));
        assert!(shown || elsewhere, "no dashboard shows {}", metric.name);
    }
}
