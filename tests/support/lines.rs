//! The lines of the recorded data, whatever their form.

use std::io::Read as _;
use std::path::Path;

/// The whole text of a file, unpacked if its name says that it is packed.
pub(crate) fn unpacked(path: &Path) -> String {
    let file = std::fs::File::open(path).expect("recording");
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        let mut unpack = flate2::read::MultiGzDecoder::new(file);
        unpack.read_to_string(&mut text).expect("gzip");
    } else {
        let mut file = file;
        file.read_to_string(&mut text).expect("text");
    }
    text
}

/// A recorded message: when, and its text.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) time_ns: i64,
    pub(crate) text: String,
}

/// `<time> <frame>` lines; a line that is a frame alone gets its `ts`.
pub(crate) fn plain(text: &str) -> Vec<Message> {
    let message = |line: &str| {
        let (time, frame) = match line.split_once(' ') {
            Some((time, frame)) if !line.starts_with('{') => (time.parse().expect("time"), frame),
            _ => {
                let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                (value["ts"].as_i64().expect("ts") * 1_000_000, line)
            }
        };
        Message {
            time_ns: time,
            text: frame.to_owned(),
        }
    };
    text.lines().map(message).collect()
}
