//! `GET /v5/market/instruments-info`: the rules of each symbol.

use crate::kernel::types::{Instrument, InstrumentStatus, Qty};
use crate::venue::sim::market::MarketKind;
use crate::venue::sim::number::{Scales, put};

/// Largest price in ticks.
const PRICE_MAX_TICKS: i128 = 100_000_000;
/// Largest quantity in lots, where nobody says another one.
const QTY_MAX_LOTS: i64 = 100_000_000;

/// One symbol.
pub(super) fn instrument(to: &mut String, kind: MarketKind, instrument: &Instrument) {
    let scales = Scales::of(kind, instrument);
    let most = if instrument.qty_max == Qty::ZERO {
        Qty(instrument.lot.0.saturating_mul(QTY_MAX_LOTS))
    } else {
        instrument.qty_max
    };
    let least = instrument.qty_min.max(instrument.lot);
    let status = match instrument.status {
        InstrumentStatus::Trading => "Trading",
        InstrumentStatus::Delisted => "Closed",
        InstrumentStatus::Halted | InstrumentStatus::CancelOnly => "PreLaunch",
    };
    put!(
        to,
        "{{\"symbol\":\"{}\",\"status\":\"{status}\",\"baseCoin\":\"{}\",\"quoteCoin\":\"{}\",",
        instrument.name.symbol,
        instrument.base,
        instrument.quote,
    );
    let (lot, tick) = (scales.qty(instrument.lot), scales.price(instrument.tick));
    let notional = scales.money(instrument.notional_min);
    if kind == MarketKind::BybitSpot {
        put!(
            to,
            concat!(
                "\"innovation\":\"0\",\"marginTrading\":\"utaOnly\",\"stTag\":\"0\",\"lotSizeFilter\":{{",
                "\"basePrecision\":\"{lot}\",\"quotePrecision\":\"0.00000001\",\"minOrderQty\":\"{least}\",",
                "\"maxOrderQty\":\"{most}\",\"minOrderAmt\":\"{notional}\",\"maxOrderAmt\":\"8000000\",",
                "\"maxLimitOrderQty\":\"{most}\",\"maxMarketOrderQty\":\"{market}\",",
                "\"postOnlyMaxLimitOrderSize\":\"{most}\"}},\"priceFilter\":{{\"tickSize\":\"{tick}\"}},",
                "\"riskParameters\":{{\"priceLimitRatioX\":\"0.01\",\"priceLimitRatioY\":\"0.02\"}}}}"
            ),
            lot = lot,
            least = scales.qty(least),
            most = scales.qty(most),
            market = scales.qty(Qty(most.0 / 10)),
            notional = notional,
            tick = tick,
        );
        return;
    }
    put!(
        to,
        concat!(
            "\"contractType\":\"LinearPerpetual\",\"settleCoin\":\"{quote}\",\"launchTime\":\"1584230400000\",",
            "\"deliveryTime\":\"0\",\"deliveryFeeRate\":\"\",\"priceScale\":\"{digits}\",",
            "\"leverageFilter\":{{\"minLeverage\":\"1\",\"maxLeverage\":\"100.00\",\"leverageStep\":\"0.01\"}},",
            "\"priceFilter\":{{\"minPrice\":\"{tick}\",\"maxPrice\":\"{price_max}\",\"tickSize\":\"{tick}\"}},",
            "\"lotSizeFilter\":{{\"maxOrderQty\":\"{most}\",\"minOrderQty\":\"{least}\",\"qtyStep\":\"{lot}\",",
            "\"postOnlyMaxOrderQty\":\"{most}\",\"maxMktOrderQty\":\"{market}\",",
            "\"minNotionalValue\":\"{notional}\"}},\"unifiedMarginTrade\":true,",
            "\"fundingInterval\":{funding},\"copyTrading\":\"both\",\"upperFundingRate\":\"0.005\",",
            "\"lowerFundingRate\":\"-0.005\",\"isPreListing\":false,\"preListingInfo\":null,",
            "\"riskParameters\":{{\"priceLimitRatioX\":\"0.01\",\"priceLimitRatioY\":\"0.02\"}},",
            "\"symbolType\":\"\"}}"
        ),
        quote = instrument.quote,
        digits = instrument.price_scale.digits(),
        tick = tick,
        price_max =
            scales.price_i128(i128::from(instrument.tick.0).saturating_mul(PRICE_MAX_TICKS)),
        most = scales.qty(most),
        least = scales.qty(least),
        lot = lot,
        market = scales.qty(Qty(most.0 / 10)),
        notional = notional,
        funding = instrument.funding_minutes,
    );
}
