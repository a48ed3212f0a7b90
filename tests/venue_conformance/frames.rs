//! Recorded frames are read as the slow reference reads them; cut and damaged ones are errors, or are
//! read as it reads them.

use std::path::Path;

use hean::kernel::types::VenueId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::Venue;
use crate::damage::{damage, pick};
use crate::lines::{plain, unpacked};
use crate::recordings::recordings;
use crate::samples;

/// Frames of the protocol pages, one of each kind and form.
pub(crate) fn own(venue: VenueId) -> Vec<String> {
    let text = match venue {
        VenueId::Binance | VenueId::Sim => include_str!("../data/binance_spot_frames.txt"),
        VenueId::BinanceUsdm => include_str!("../data/binance_usdm_frames.txt"),
        VenueId::BybitSpot | VenueId::BybitLinear => include_str!("../data/bybit_frames.txt"),
    };
    let frame = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    text.lines().map(frame).collect()
}

/// Recordings of a venue; Bybit's two markets speak alike.
pub(crate) fn recorded(data: &Path, venue: VenueId) -> Vec<String> {
    let (frames, feed): (&[&str], Option<&str>) = match venue {
        VenueId::Binance | VenueId::Sim => (
            &["hftbacktest/binance_spot_btcusdt_20240809.txt.gz"],
            Some("cryptofeed/BINANCE.ws.1.0.gz"),
        ),
        VenueId::BinanceUsdm => (
            &["hftbacktest/binance_usdm_btcusdt_20240808.txt.gz"],
            Some("cryptofeed/BINANCE_FUTURES.ws.1.0.gz"),
        ),
        VenueId::BybitSpot | VenueId::BybitLinear => (
            &[
                "derived_bybit_v5/bybit_linear_8symbols_reenveloped_from_2021_v2.txt.gz",
                "derived_bybit_v5/bybit_linear_BTCUSDT_derived_from_binance_usdm.txt.gz",
                "nautilus_trader/bybit_linear_xrpusdt_ob500_20241201.jsonl.gz",
            ],
            None,
        ),
    };
    let frames = frames
        .iter()
        .flat_map(|file| plain(&unpacked(&data.join(file))));
    let mut frames: Vec<String> = frames
        .inspect(|message| assert!(message.time_ns > 0))
        .map(|message| message.text)
        .collect();
    if let Some(feed) = feed {
        let text = unpacked(&data.join(feed));
        let lines = text.lines().filter_map(|line| line.split_once(": {"));
        frames.extend(lines.map(|(_, frame)| format!("{{{frame}")));
    }
    frames
}

#[test]
fn recorded_frames_are_read_to_the_last_field() {
    let Some(data) = recordings() else { return };
    for venue in Venue::all() {
        let frames = recorded(&data, venue.id);
        // The slow reading is slow. (`tests/books.rs` decodes all of them.) The simulated venue is
        // read by the very code of spot.
        let step = match venue.id {
            VenueId::Binance | VenueId::BinanceUsdm => 4,
            VenueId::BybitSpot | VenueId::BybitLinear => 2,
            VenueId::Sim => 40,
        };
        for frame in frames.iter().step_by(step) {
            if frame.starts_with("{\"lastUpdateId\"") {
                let (_, btc) = &venue.set[0];
                let snapshot = venue.protocol.decode_depth(frame.as_bytes(), btc);
                assert!(snapshot.is_ok(), "{snapshot:?}");
            } else if let Err(error) = venue.agree(frame.as_bytes()) {
                panic!("{}: {error}: {frame}", venue.id);
            }
        }
        assert!(frames.len() > 40_000, "{}: {}", venue.id, frames.len());
    }
}

#[test]
fn frames_of_the_protocol_page_are_read() {
    for venue in Venue::all() {
        let frames = own(venue.id);
        let mut kinds = std::collections::BTreeSet::new();
        for frame in &frames {
            // Several instruments: a snapshot without a symbol belongs to none of them.
            if !frame.starts_with("{\"lastUpdateId\"") {
                let read = venue.agree(frame.as_bytes());
                assert_eq!(read, Ok(()), "{}: {frame}", venue.id);
            }
            let (said, events) = venue
                .decode(frame.as_bytes())
                .unwrap_or_else(|_| (hean::venue::protocol::Said::Market, Vec::new()));
            let name = |text: String| text.split(['(', ' ']).next().unwrap().to_owned();
            kinds.insert(name(format!("{said:?}")));
            kinds.extend(events.iter().map(|event| name(format!("{:?}", event.data))));
        }
        for kind in [
            "Depth", "Trade", "Quote", "Kline", "Stats", "Answer", "Ignored",
        ] {
            assert!(
                kinds.contains(kind),
                "{} has no {kind}: {kinds:?}",
                venue.id
            );
        }
    }
}

#[test]
fn every_cut_of_a_frame_is_an_error() {
    for venue in Venue::all() {
        let mut frames = own(venue.id);
        if let Some(data) = recordings() {
            frames.extend(samples::frames(&data, venue.id));
        }
        for frame in frames.iter().filter(|frame| frame.len() < 2_000) {
            let frame = frame.trim_end().as_bytes();
            for end in 0..frame.len() {
                assert!(venue.decode(&frame[..end]).is_err(), "{}", venue.id);
                venue.decoder.victim(&frame[..end]);
            }
        }
    }
}

#[test]
fn damaged_frames_are_errors_or_read_right() {
    for (venue, seed) in Venue::all().iter().zip(20_261_122..) {
        // The own frames are few: let them be as likely as the recorded ones.
        let mut frames = vec![own(venue.id); 20].concat();
        if let Some(data) = recordings() {
            let recorded = recorded(&data, venue.id);
            let recorded = recorded.into_iter().filter(|frame| frame.len() < 1_500);
            frames.extend(recorded.step_by(50).take(800));
            frames.extend(samples::frames(&data, venue.id));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut accepted = 0_u32;
        // The code of spot again.
        let rounds = if venue.id == VenueId::Sim {
            10_000
        } else {
            100_000
        };
        for _ in 0..rounds {
            let at = pick(&mut rng, frames.len());
            let damaged = damage(&mut rng, &frames[at]);
            accepted += u32::from(venue.agree(&damaged).is_ok());
            venue.decoder.victim(&damaged);
        }
        // Neither side may be one that says the same to everything.
        let id = venue.id;
        assert!(
            (rounds / 10..rounds * 8 / 10).contains(&accepted),
            "{id}: {accepted} accepted"
        );
    }
}
