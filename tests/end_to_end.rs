//! The real binary from outside: processes, sockets, signals, files. What the daemon promises is held
//! against recordings with known answers, and against `kill -9`.

#[path = "end_to_end/alerts.rs"]
mod alerts;
#[path = "end_to_end/binary.rs"]
mod binary;
#[path = "end_to_end/client.rs"]
mod client;
#[path = "end_to_end/commands.rs"]
mod commands;
#[path = "end_to_end/crash.rs"]
mod crash;
#[path = "end_to_end/doctor.rs"]
mod doctor;
#[path = "end_to_end/gaps.rs"]
mod gaps;
#[path = "end_to_end/hostile.rs"]
mod hostile;
#[path = "end_to_end/journal.rs"]
mod journal;
#[path = "end_to_end/logs.rs"]
mod logs;
#[path = "end_to_end/journald.rs"]
mod journald;
#[path = "end_to_end/monitoring.rs"]
mod monitoring;
#[path = "end_to_end/process.rs"]
mod process;
#[path = "monitoring/queries.rs"]
mod queries;
#[path = "end_to_end/record.rs"]
mod record;
#[path = "end_to_end/recordings.rs"]
mod recordings;
#[path = "end_to_end/redis.rs"]
mod redis;
#[path = "support/recordings.rs"]
mod support;
#[path = "end_to_end/store.rs"]
mod store;
#[path = "end_to_end/strategies.rs"]
mod strategies;
#[path = "end_to_end/syscalls.rs"]
mod syscalls;
#[path = "end_to_end/systemd.rs"]
mod systemd;
#[path = "end_to_end/top.rs"]
mod top;
#[path = "end_to_end/traces.rs"]
mod traces;
#[path = "end_to_end/trader.rs"]
mod trader;
