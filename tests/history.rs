//! `hean history download` against the simulated venue: every protocol, refusals, and a download that was killed.

#[path = "sim/client.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod common;

use std::fs;
use std::path::Path;

use common::Running;
use hean::backtest::market::{MarketRules, markets};
use hean::config::{self, Override, Sources};
use hean::history::{Download, Downloaded, download};
use hean::kernel::types::{Interval, MINUTE, Time, VenueId};
use hean::runtime::clock;
use hean::venue::sim::{Fault, Source};

async fn sim(faults: &[&str]) -> Running {
    let source = Source::Synthetic {
        seed: 7,
        symbols: vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()],
        speed: 1.0,
        rate: 1.0,
    };
    let faults = faults
        .iter()
        .map(|f| f.parse::<Fault>().expect("fault"))
        .collect();
    Running::start(source, faults).await
}

async fn fetched(sim: &Running, venue: VenueId, dir: &Path, span: (Time, Time)) -> Vec<Downloaded> {
    let flag = |key: &str, value: String| Override {
        key: key.to_owned(),
        value,
        flag: "--test",
    };
    let sources = Sources {
        flags: vec![
            flag("run.exchange", venue.to_string()),
            flag("run.symbols", "BTCUSDT,ETHUSDT".to_owned()),
            flag(
                &format!("venues.{venue}.rest"),
                format!("http://{}", sim.addr),
            ),
        ],
        stateless: true,
        ..Sources::default()
    };
    let settings = config::load(&sources).expect("settings").settings;
    let wanted = Download {
        venue,
        interval: Interval::MINUTE,
        from: span.0,
        to: span.1,
        dir: dir.to_owned(),
    };
    download(&settings, &wanted).await.expect("downloaded")
}

/// Twenty hours that ended a while ago.
fn span() -> (Time, Time) {
    let to = Interval::MINUTE.open_of(clock::wall()).plus(-10 * MINUTE);
    (to.plus(-1_200 * MINUTE), to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_venue_gives_candles_without_a_hole() {
    let sim = sim(&[
        "status@binance/klines:code=429:retry=1:n=1",
        "status@bybit-linear/kline:code=503:n=1",
    ])
    .await;
    let span = span();
    for venue in [
        VenueId::Binance,
        VenueId::BinanceUsdm,
        VenueId::BybitSpot,
        VenueId::BybitLinear,
    ] {
        let dir = tempfile::tempdir().expect("directory");
        let all = fetched(&sim, venue, dir.path(), span).await;
        assert_eq!(all.len(), 2);
        for one in &all {
            assert_eq!(one.rows, (0, 1_200), "{}", one.symbol);
            let read = markets(std::slice::from_ref(&one.path), &MarketRules::default())
                .expect("a market");
            assert_eq!(read[0].instrument.name.to_string(), one.symbol);
            let times: Vec<Time> = read[0].rows.iter().map(|r| r.time).collect();
            let expected: Vec<Time> = (0..1_200).map(|n| span.0.plus(n * MINUTE)).collect();
            assert_eq!(times, expected, "{}", one.symbol);
        }
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_was_killed_is_finished_by_the_same_command() {
    let sim = sim(&[]).await;
    let (from, to) = span();
    let dir = tempfile::tempdir().expect("directory");
    let all = fetched(&sim, VenueId::Binance, dir.path(), (from, to)).await;
    let path = &all[0].path;
    let whole = fs::read(path).expect("file");
    let half = whole.len() / 2;
    // Killed within a line, at its end, within the header, and before it.
    let end = half
        + whole[half..]
            .iter()
            .position(|b| *b == b'\n')
            .expect("a line end")
        + 1;
    for cut in [half, end, 20, 0] {
        fs::write(path, &whole[..cut]).expect("written");
        let again = fetched(&sim, VenueId::Binance, dir.path(), (from, to)).await;
        assert_eq!(again[0].rows.0 + again[0].rows.1, 1_200, "cut at {cut}");
        assert!(fs::read(path).expect("file") == whole, "cut at {cut}");
    }
    let again = fetched(&sim, VenueId::Binance, dir.path(), (from, to)).await;
    assert_eq!(again[0].rows, (1_200, 0));
    sim.stop().await;
}
