//! Reads cryptofeed's sets of recordings.

use std::path::Path;

use crate::lines::{Message, unpacked};

/// Seconds with a fraction, in nanoseconds; the digits behind the ninth are nothing.
fn nanos(seconds: &str) -> i64 {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    whole.parse::<i64>().expect("seconds") * 1_000_000_000 + digits.parse::<i64>().expect("digits")
}

/// The sets of cryptofeed: stream lines `time: frame`, REST lines `url -> time: body`, in the order of
/// time. Of a REST snapshot the request says whose it is.
pub(crate) fn cryptofeed(folder: &Path, set: &str) -> Vec<(Option<String>, Message)> {
    let stream = unpacked(&folder.join(format!("{set}.ws.1.0.gz")));
    let rest = unpacked(&folder.join(format!("{set}.http.0.0.gz")));
    let mut messages = Vec::new();
    for line in stream.lines().filter(|line| line.contains(": {")) {
        let (time, text) = line.split_once(": ").expect("time");
        messages.push((nanos(time), None, text));
    }
    for line in rest.lines().filter(|line| line.contains("/depth?")) {
        let (url, line) = line.split_once(" -> ").expect("url");
        let (time, text) = line.split_once(": ").expect("time");
        let (_, query) = url.split_once("symbol=").expect("symbol");
        let symbol = query.split('&').next().expect("symbol");
        messages.push((nanos(time), Some(symbol.to_owned()), text));
    }
    messages.sort_by_key(|(time, ..)| *time);
    let message = |(time_ns, asked, text): (i64, Option<String>, &str)| {
        let text = text.to_owned();
        (asked, Message { time_ns, text })
    };
    messages.into_iter().map(message).collect()
}
