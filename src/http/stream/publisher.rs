//! The one task that makes the documents of all streams. It sleeps while nobody follows anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::http::state::App;

/// How soon to look again for the view of a change that is durable already.
const VIEW_SOON: Duration = Duration::from_millis(1);

/// Runs until the streams are closed.
pub(in crate::http) async fn publish(app: Arc<App>) {
    let streams = &app.streams;
    let mut stop = streams.stop.subscribe();
    let mut durable = app.state.durable.clone();
    let mut journal_runs = true;
    let mut tick = interval(app.config.stream_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let topics = streams.followed();
        let orders = streams.orders.receiver_count() > 0;
        app.state.orders.follow(orders);
        let lagging = orders && streams.release(&app);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = streams.news.notified() => {}
            () = app.state.orders.rung(), if orders => {}
            changed = durable.changed(), if orders && journal_runs => journal_runs = changed.is_ok(),
            () = sleep(VIEW_SOON), if lagging => {}
            _ = tick.tick(), if !topics.is_empty() => {
                let mut changed = false;
                for topic in topics {
                    changed |= topic.refresh();
                }
                if changed {
                    streams.pulse.send_replace(());
                }
            }
        }
    }
}
