//! Recordings: real ones whole, own ones with everything that can be wrong.

#[path = "support/recordings.rs"]
mod recordings;

use std::io::Write;
use std::path::{Path, PathBuf};

use hean::kernel::types::{Time, VenueId};
use hean::recording::{LINE_BYTES_MAX, LineFault, Reader, RecordingError, infer, scan};
use recordings::recordings;

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

#[test]
fn real_recordings_are_read_whole_and_name_their_scales() {
    let Some(data) = recordings() else { return };
    let files = [
        data.join("hftbacktest/binance_spot_btcusdt_20240808.txt.gz"),
        data.join("hftbacktest/binance_spot_btcusdt_20240809.txt.gz"),
    ];
    let scan = scan(&files, VenueId::Binance).expect("readable");
    assert_eq!((scan.frames, scan.malformed), (41_249 + 58_325, 0));
    assert_eq!(scan.first, Some(Time(1_723_161_253_937_085_768)));
    assert_eq!(scan.last, Some(Time(1_723_161_904_535_092_233)));
    let [btc] = scan.symbols.as_slice() else {
        panic!("one symbol")
    };
    let instrument = &btc.instrument;
    assert_eq!(instrument.name.to_string(), "binance:BTCUSDT");
    assert_eq!(
        (instrument.base.as_str(), instrument.quote.as_str()),
        ("BTC", "USDT")
    );
    let scales = (
        instrument.price_scale.digits(),
        instrument.qty_scale.digits(),
    );
    // Trades have five digits; seven resting orders from before a change of the lot have six.
    assert_eq!(scales, (2, 6));
    let streams: Vec<_> = btc
        .streams
        .iter()
        .map(|(name, n)| (name.as_str(), *n))
        .collect();
    assert_eq!(
        streams,
        [
            ("btcusdt@bookTicker", 28_040 + 45_134),
            ("btcusdt@depth@100ms", 3_451 + 3_044),
            ("btcusdt@trade", 9_757 + 10_147),
        ]
    );
    assert!(btc.snapshot.is_some());
    assert_eq!(
        infer(&files, VenueId::Binance).expect("readable"),
        std::slice::from_ref(instrument),
        "not the same each time"
    );
}

#[test]
fn bad_lines_are_named_and_passed_over() {
    let file = own("mixed.jsonl");
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for record in Reader::new([&file]) {
        match record {
            Ok(record) => good.push((record.received.0, record.frame.len())),
            Err(RecordingError::Line {
                file: f,
                line,
                fault,
            }) => {
                assert_eq!(f, file);
                bad.push((line, fault));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(bad, [(5, LineFault::NoTime), (7, LineFault::TimeRange)]);
    let times: Vec<i64> = good.iter().map(|(time, _)| *time / 1_000_000).collect();
    assert_eq!(
        times,
        [0, 100, 200, 300, 400].map(|ms| 1_700_000_000_000 + ms)
    );
    let scan = scan(&[&file], VenueId::Binance).expect("readable");
    assert_eq!((scan.frames, scan.malformed), (4, 3));
    assert!(
        scan.first_fault
            .is_some_and(|fault| fault.contains("mixed.jsonl:5: "))
    );
    let abc = &scan.symbols[0];
    assert_eq!(abc.instrument.name.symbol, "ABCEUR");
    let scales = (
        abc.instrument.price_scale.digits(),
        abc.instrument.qty_scale.digits(),
    );
    assert_eq!(scales, (2, 3));
    assert!(abc.snapshot.is_some());
}

#[test]
fn compressed_or_not_and_chained_it_is_the_same() {
    let directory = tempfile::tempdir().expect("directory");
    let plain = own("two_symbols.txt");
    let bytes = std::fs::read(&plain).expect("file");
    let gz = directory.path().join("r.txt.gz");
    // Two members, as made by appending to a compressed file.
    let mut file = std::fs::File::create(&gz).expect("file");
    let half = bytes.len() / 2;
    for part in [&bytes[..half], &bytes[half..]] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(part).expect("gzip");
        file.write_all(&encoder.finish().expect("gzip"))
            .expect("write");
    }
    let zst = directory.path().join("r.jsonl.zst");
    std::fs::write(&zst, zstd::encode_all(&bytes[..], 3).expect("zstd")).expect("write");
    let read = |files: &[&PathBuf]| {
        Reader::new(files)
            .map(|record| record.expect("line"))
            .collect::<Vec<_>>()
    };
    let once = read(&[&plain]);
    assert_eq!(once.len(), 36);
    assert_eq!(read(&[&gz]), once);
    assert_eq!(read(&[&zst]), once);
    let chained = read(&[&gz, &plain, &zst]);
    assert_eq!(chained, [once.clone(), once.clone(), once].concat());
}

#[test]
fn a_broken_file_ends_the_reading_with_an_error() {
    let directory = tempfile::tempdir().expect("directory");
    let bytes = std::fs::read(own("two_symbols.txt")).expect("file");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&bytes).expect("gzip");
    let whole = encoder.finish().expect("gzip");
    let cut = directory.path().join("cut.txt.gz");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("write");
    let plain = own("two_symbols.txt");
    let all: Vec<_> = Reader::new([&cut, &plain]).collect();
    let (last, before) = all.split_last().expect("records");
    assert!(before.iter().all(Result::is_ok));
    assert!(matches!(last, Err(RecordingError::Read { file, .. }) if *file == cut));
    assert!(scan(&[&cut], VenueId::Binance).is_err());
    let missing = directory.path().join("missing.txt");
    let all: Vec<_> = Reader::new([&missing, &plain]).collect();
    assert!(matches!(all.as_slice(), [Err(RecordingError::Open { .. })]));
}

#[test]
fn a_line_without_end_does_not_fill_memory() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("long.txt");
    let mut text = b"1700000000000 ".to_vec();
    text.resize(LINE_BYTES_MAX + 5, b'x');
    text.extend(b"\n1700000000000 {}\n");
    std::fs::write(&file, &text).expect("write");
    let mut reader = Reader::new([&file]);
    assert!(matches!(
        reader.next(),
        Some(Err(RecordingError::Line {
            line: 1,
            fault: LineFault::TooLong,
            ..
        }))
    ));
    assert_eq!(reader.next().expect("line").expect("valid").frame, b"{}");
    assert_eq!(reader.position(), (file.as_path(), 2));
    assert!(reader.next().is_none());
}
