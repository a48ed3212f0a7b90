//! What a scenario begins with.

use hean::kernel::KernelConfig;
use hean::kernel::portfolio::PositionMode;
use hean::kernel::types::{
    Contract, Instrument, InstrumentName, Money, Price, Qty, Rate, SECOND, Scale, VenueId,
};
use hean::venue::sim::paper::PaperConfig;

/// Account, instruments, limits and venue of a scenario.
pub(crate) struct Setup {
    pub(crate) kernel: KernelConfig,
    pub(crate) paper: PaperConfig,
    pub(crate) instruments: Vec<Instrument>,
    pub(crate) cash: Money,
}

fn instrument(base: &str, contract: Contract, fees: (Rate, Rate)) -> Instrument {
    Instrument {
        contract,
        funding_minutes: 480,
        tick: Price(10),
        lot: Qty(10),
        qty_min: Qty(10),
        qty_max: Qty(1_000_000),
        notional_min: money("5"),
        maker_fee: fees.0,
        taker_fee: fees.1,
        ..Instrument::unlimited(
            InstrumentName {
                venue: VenueId::Sim,
                symbol: format!("{base}USDT"),
            },
            base,
            "USDT",
            (Scale::new(2).expect("scale"), Scale::new(3).expect("scale")),
        )
    }
}

pub(crate) fn money(text: &str) -> Money {
    Money::parse(text).expect(text)
}

fn rate(text: &str) -> Rate {
    Rate::parse(text).expect(text)
}

/// `1%` is a share of 0.01.
pub(crate) fn percent(text: &str) -> Rate {
    let number = text.strip_suffix('%').expect(text);
    Rate(rate(number).0 / 100)
}

impl Setup {
    pub(crate) fn parse(text: &str) -> Self {
        let mut kernel = KernelConfig::default();
        let mut paper = PaperConfig::default();
        let (mut contract, mut two) = (Contract::Spot, false);
        let mut fees = (rate("0.001"), rate("0.002"));
        let mut cash = money("10000");
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let limits = &mut kernel.limits;
            match name {
                "perpetual" => contract = Contract::LinearPerpetual,
                "two" => two = true,
                "hedge" => kernel.positions = PositionMode::Hedge,
                "cash" => cash = money(value),
                "fees" => {
                    let (maker, taker) = value.split_once('/').expect(word);
                    fees = (rate(maker), rate(taker));
                }
                "latency" => paper.order_latency = value.parse().expect(word),
                "report-latency" => paper.report_latency = value.parse().expect(word),
                "liquidation-fee" => paper.liquidation_fee = rate(value),
                "daily-loss" => limits.daily_loss_max = money(value),
                "drawdown" => limits.drawdown_max = percent(value),
                "streak" => {
                    let (losses, seconds) = value.split_once('/').expect(word);
                    limits.losing_streak_max = losses.parse().expect(word);
                    limits.cool_down_ns = seconds.parse::<i64>().expect(word) * SECOND;
                }
                "rate" => limits.orders_per_second_max = value.parse().expect(word),
                "exposure" => limits.exposure_notional_max = money(value),
                "orders" => limits.orders_open_max = value.parse().expect(word),
                "collar" => limits.price_collar = percent(value),
                "stale" => limits.stale_after_ns = value.parse::<i64>().expect(word) * SECOND,
                _ => panic!("unknown setup: {word}"),
            }
        }
        let mut instruments = vec![instrument("BTC", contract, fees)];
        if two {
            instruments.push(instrument("ETH", contract, fees));
        }
        Self {
            kernel,
            paper,
            instruments,
            cash,
        }
    }
}
