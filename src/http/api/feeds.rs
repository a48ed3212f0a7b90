//! What feeds say of their streams.

use std::sync::atomic::Ordering::Relaxed;

use super::market::time;
use super::page;
use crate::http::reply::Reply;
use crate::http::routes::Call;
use crate::json::Json;
use crate::kernel::types::{MILLISECOND, Time};
use crate::status::FeedStatus;
use crate::venue::feed::streams::Stream;
use crate::venue::protocol::TopicKind;

/// `GET /api/v1/feeds`: every stream of every instrument.
pub(in crate::http) fn feeds(call: &Call) -> Reply {
    let state = &call.app().state;
    let now = state.clock.now();
    let mut rows = Vec::new();
    for feed in &state.feeds {
        let Some(streams) = feed.streams.get() else {
            continue;
        };
        rows.extend(streams.iter().map(|feeding| (feed.venue, feeding)));
    }
    let mut json = Json::new(call.strings);
    page(&mut json, usize::MAX, rows.iter(), |j, (venue, feeding)| {
        let name = feeding.instrument.name.to_string();
        j.object(|j| {
            j.key("symbol").text(&feeding.instrument.name.symbol);
            j.key("venue").text(venue.name());
            j.key("streams").object(|j| {
                for kind in TopicKind::ALL {
                    let stream = feeding.stream(kind);
                    let subscribed = stream.subscribed.load(Relaxed);
                    if subscribed || stream.refused.load(Relaxed) {
                        j.key(kind.name()).object(|j| one(j, stream, now));
                    }
                }
            });
        });
        name
    });
    Reply::json(json)
}

fn one(j: &mut Json, stream: &Stream, now: Time) {
    j.key("subscribed").bool(stream.subscribed.load(Relaxed));
    j.key("refused").bool(stream.refused.load(Relaxed));
    j.key("messages").int(stream.messages.load(Relaxed));
    j.key("received_at");
    time(j, stream.received.get().unwrap_or_default());
    j.key("age_ms").int(age(stream, now) / MILLISECOND);
    j.key("latency_ms")
        .float(stream.latency_ns.load(Relaxed) as f64 / 1e6);
}

fn age(stream: &Stream, now: Time) -> i64 {
    stream.received.get().map_or(0, |at| now.since(at).max(0))
}

/// Each kind of stream of a feed in one line: how many, how old the oldest, and whose that is.
pub(super) fn summary(j: &mut Json, feed: &FeedStatus, now: Time) {
    let instruments = feed.streams.get().map_or(&[][..], |streams| &streams[..]);
    j.object(|j| {
        for kind in TopicKind::ALL {
            let (mut subscribed, mut refused, mut oldest, mut whose) = (0, 0, 0, None);
            for feeding in instruments {
                let stream = feeding.stream(kind);
                refused += usize::from(stream.refused.load(Relaxed));
                if !stream.subscribed.load(Relaxed) {
                    continue;
                }
                subscribed += 1;
                let age = age(stream, now);
                if whose.is_none() || age > oldest {
                    (oldest, whose) = (age, Some(&feeding.instrument.name.symbol));
                }
            }
            if subscribed + refused == 0 {
                continue;
            }
            j.key(kind.name()).object(|j| {
                j.key("subscribed").count(subscribed);
                j.key("refused").count(refused);
                j.key("oldest_age_ms").int(oldest / MILLISECOND);
                j.key("oldest").text_or_null(whose.map(String::as_str));
            });
        }
    });
}
