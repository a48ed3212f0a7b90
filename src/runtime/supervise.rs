//! Tasks and their end: signals drain the process, an unexpected end of a task drains it too, with a
//! failure as the result.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Why the process is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A signal asked for it.
    Asked(&'static str),
    /// A task ended that should not have, with what it said.
    TaskEnded {
        /// Its name.
        task: &'static str,
        /// Its error, or that it panicked.
        why: String,
    },
}

/// The named tasks of the process and the word that ends them.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<(&'static str, Result<(), String>)>,
    stop: watch::Sender<bool>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
        }
    }
}

impl Supervisor {
    /// Becomes `true` when tasks are to end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Starts a task. It should run until [`Supervisor::stopping`] says otherwise.
    pub fn spawn<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks
            .spawn(async move { (name, task.await.map_err(|e| e.to_string())) });
    }

    /// Waits for SIGTERM, SIGINT, or the end of any task. SIGHUP, as from a closed terminal, ends
    /// nothing; the daemon reloads on it.
    pub async fn watch(&mut self) -> std::io::Result<End> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(End::Asked("SIGTERM")),
                _ = interrupt.recv() => return Ok(End::Asked("SIGINT")),
                // Who reloads something listens for itself.
                _ = hangup.recv() => {}
                Some(ended) = self.tasks.join_next() => return Ok(match ended {
                    Ok((task, outcome)) => {
                        let why = outcome.err().unwrap_or_else(|| "it ended by itself".to_owned());
                        End::TaskEnded { task, why }
                    }
                    Err(error) => End::TaskEnded { task: "a task", why: error.to_string() },
                }),
            }
        }
    }

    /// Tells every task to end and waits for them, `deadline` at most; what is left is dropped.
    /// Returns the names of tasks that failed on the way.
    pub async fn drain(mut self, deadline: Duration) -> Vec<String> {
        self.stop.send_replace(true);
        let mut failed = Vec::new();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((task, Err(why))) => failed.push(format!("{task}: {why}")),
                    Err(error) => failed.push(error.to_string()),
                }
            }
        };
        if tokio::time::timeout(deadline, all).await.is_err() {
            failed.push(format!("{} tasks did not end in time", self.tasks.len()));
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unexpected_end_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn("feed", async { Err::<(), _>("no route to host") });
        let end = supervisor.watch().await.expect("signals");
        let why = "no route to host".to_owned();
        assert_eq!(end, End::TaskEnded { task: "feed", why });
    }

    #[tokio::test]
    async fn a_drain_waits_for_tasks_and_gives_up_at_the_deadline() {
        let mut supervisor = Supervisor::default();
        let mut stopping = supervisor.stopping();
        supervisor.spawn(
            "good",
            async move { stopping.wait_for(|s| *s).await.map(drop) },
        );
        assert_eq!(
            supervisor.drain(Duration::from_mins(1)).await,
            Vec::<String>::new()
        );
        let mut supervisor = Supervisor::default();
        supervisor.spawn("stuck", std::future::pending::<Result<(), String>>());
        let failed = supervisor.drain(Duration::from_millis(1)).await;
        assert_eq!(failed, ["1 tasks did not end in time"]);
    }
}
