//! What a benchmark came to, as a table and as JSON.

use std::fmt::Write as _;

use super::{BenchConfig, KINDS, Kind, Sum};
use crate::json::Json;

/// All that was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Servers: host and port, version.
    pub servers: Vec<(String, String)>,
    /// A row for each kind of request.
    pub rows: Vec<Row>,
    /// Clients, commands in one write, bytes of a value, requests in a round, rounds.
    shape: [usize; 5],
}

/// One kind of request.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub kind: &'static str,
    /// Latencies are those of a whole pipeline.
    pub pipelined: bool,
    /// For each server.
    pub servers: Vec<ServerRow>,
}

/// One kind of request at one server. Latencies are in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct ServerRow {
    /// Operations a second, the median of the rounds.
    pub per_second: f64,
    /// Half take no longer.
    pub p50: u64,
    /// 99 of 100 take no longer.
    pub p99: u64,
    /// 999 of 1,000 take no longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Row {
    /// How much more the first server does in a second than the second one.
    pub fn ratio(&self) -> Option<f64> {
        match self.servers.as_slice() {
            [first, second] => Some(first.per_second / second.per_second),
            _ => None,
        }
    }
}

impl Measured {
    pub(super) fn new(
        config: &BenchConfig,
        versions: Vec<String>,
        sums: &[[Sum; KINDS.len()]],
    ) -> Self {
        let row = |(at, kind): (usize, Kind)| Row {
            kind: kind.name(),
            pipelined: kind.pipelined(),
            servers: sums.iter().map(|sums| ServerRow::new(&sums[at])).collect(),
        };
        let names = config.servers.iter().map(|server| server.name().to_owned());
        Self {
            servers: names.zip(versions).collect(),
            rows: KINDS.into_iter().enumerate().map(row).collect(),
            shape: [
                config.clients,
                config.pipeline,
                config.size,
                config.requests,
                config.rounds,
            ],
        }
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let [clients, pipeline, size, requests, rounds] = self.shape;
        let mut out = format!(
            "{clients} clients, {pipeline} commands in a pipeline, values of {size} bytes; \
             {rounds} rounds of {requests} requests in turns, medians\n"
        );
        for (at, (server, version)) in self.servers.iter().enumerate() {
            push(
                &mut out,
                format_args!("server {}: {server}, version {version}\n", at + 1),
            );
        }
        push(
            &mut out,
            format_args!(
                "{:<16} {:>6} {:>12} {:>11} {:>11} {:>11} {:>11}\n",
                "", "server", "ops/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs"
            ),
        );
        for row in &self.rows {
            for (at, server) in row.servers.iter().enumerate() {
                let name = if at == 0 { row.kind } else { "" };
                let us = |ns: u64| ns as f64 / 1_000.0;
                push(
                    &mut out,
                    format_args!(
                        "{name:<16} {:>6} {:>12.0} {:>11.1} {:>11.1} {:>11.1} {:>11.1}",
                        at + 1,
                        server.per_second,
                        us(server.p50),
                        us(server.p99),
                        us(server.p999),
                        us(server.max),
                    ),
                );
                if let (true, Some(ratio)) = (at == 1, row.ratio()) {
                    push(
                        &mut out,
                        format_args!("  server 1 does {ratio:.2} times as much"),
                    );
                }
                out.push('\n');
            }
        }
        out.push_str("latencies of pipelined requests are those of a whole pipeline");
        out
    }

    /// For programs.
    pub fn to_json(&self) -> Vec<u8> {
        let [clients, pipeline, size, requests, rounds] = self.shape;
        let mut json = Json::new(false);
        json.object(|j| {
            let shape = [
                ("clients", clients),
                ("pipeline", pipeline),
                ("value_bytes", size),
                ("requests", requests),
                ("rounds", rounds),
            ];
            for (name, value) in shape {
                j.key(name).count(value);
            }
            j.key("servers").array(|j| {
                for (server, version) in &self.servers {
                    j.object(|j| {
                        j.key("server").text(server);
                        j.key("version").text(version);
                    });
                }
            });
            j.key("results")
                .array(|j| self.rows.iter().for_each(|row| row.to_json(j)));
        });
        json.into_bytes()
    }
}

impl Row {
    fn to_json(&self, json: &mut Json) {
        json.object(|j| {
            j.key("kind").text(self.kind);
            j.key("pipelined").bool(self.pipelined);
            j.key("servers").array(|j| {
                for server in &self.servers {
                    j.object(|j| {
                        j.key("ops_per_s").float(server.per_second);
                        j.key("p50_ns").int(server.p50);
                        j.key("p99_ns").int(server.p99);
                        j.key("p999_ns").int(server.p999);
                        j.key("max_ns").int(server.max);
                    });
                }
            });
            if let Some(ratio) = self.ratio() {
                j.key("ratio").float(ratio);
            }
        });
    }
}

impl ServerRow {
    fn new(sum: &Sum) -> Self {
        let mut rounds = sum.per_second.clone();
        rounds.sort_by(f64::total_cmp);
        Self {
            per_second: rounds.get(rounds.len() / 2).copied().unwrap_or(0.0),
            p50: sum.latencies.permille(500),
            p99: sum.latencies.permille(990),
            p999: sum.latencies.permille(999),
            max: sum.latencies.max(),
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String cannot fail");
}
