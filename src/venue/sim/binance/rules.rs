//! `GET exchangeInfo` of both markets: limits of an address, filters of the symbols.

use crate::kernel::types::{Instrument, InstrumentStatus, Money, Qty, Time};
use crate::venue::sim::market::MarketKind;
use crate::venue::sim::number::{Number, Scales, list, put};

/// Largest price in ticks.
const PRICE_MAX_TICKS: i128 = 100_000_000;
/// Largest quantity in lots, where nobody says another one.
const QTY_MAX_LOTS: i64 = 1_000_000_000;
/// Largest quantity of a futures market order, as a part of that of a limit order.
const MARKET_PART: i64 = 10;

/// The whole answer.
pub(super) fn exchange_info(
    kind: MarketKind,
    time: Time,
    weight_max: u64,
    instruments: &[Instrument],
) -> String {
    let mut body = format!(
        "{{\"timezone\":\"UTC\",\"serverTime\":{},\"rateLimits\":[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{weight_max}}},",
        time.millis(),
    );
    if kind == MarketKind::Usdm {
        body.push_str(concat!(
            "{\"rateLimitType\":\"ORDERS\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":1200},",
            "{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,\"limit\":300}],",
            "\"exchangeFilters\":[],\"futuresType\":\"U_MARGINED\",\"assets\":["
        ));
        let mut quotes: Vec<&str> = instruments.iter().map(|i| i.quote.as_str()).collect();
        quotes.sort_unstable();
        quotes.dedup();
        for (n, quote) in quotes.into_iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            put!(
                body,
                "{comma}{{\"asset\":\"{quote}\",\"marginAvailable\":true,\"autoAssetExchange\":\"-10000\"}}"
            );
        }
        body.push(']');
    } else {
        body.push_str(concat!(
            "{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,\"limit\":100},",
            "{\"rateLimitType\":\"ORDERS\",\"interval\":\"DAY\",\"intervalNum\":1,\"limit\":200000},",
            "{\"rateLimitType\":\"RAW_REQUESTS\",\"interval\":\"MINUTE\",\"intervalNum\":5,\"limit\":300000}",
            "],\"exchangeFilters\":[]"
        ));
    }
    body.push_str(",\"symbols\":");
    list(&mut body, instruments, |body, instrument| match kind {
        MarketKind::Usdm => perpetual(body, instrument),
        _ => spot(body, instrument),
    });
    body.push('}');
    body
}

fn status(instrument: &Instrument) -> &'static str {
    match instrument.status {
        InstrumentStatus::Trading => "TRADING",
        InstrumentStatus::Halted | InstrumentStatus::Delisted => "HALT",
        InstrumentStatus::CancelOnly => "CANCEL_ONLY",
    }
}

/// Smallest and largest quantity of an order.
fn quantities(instrument: &Instrument) -> (Qty, Qty) {
    let most = if instrument.qty_max == Qty::ZERO {
        Qty(instrument.lot.0.saturating_mul(QTY_MAX_LOTS))
    } else {
        instrument.qty_max
    };
    (instrument.qty_min.max(instrument.lot), most)
}

fn spot(body: &mut String, instrument: &Instrument) {
    let scales = Scales::of(MarketKind::Spot, instrument);
    let (qty_min, qty_max) = quantities(instrument);
    put!(
        body,
        concat!(
            "{{\"symbol\":\"{symbol}\",\"status\":\"{status}\",\"baseAsset\":\"{base}\",",
            "\"baseAssetPrecision\":8,\"quoteAsset\":\"{quote}\",\"quotePrecision\":8,",
            "\"quoteAssetPrecision\":8,\"baseCommissionPrecision\":8,\"quoteCommissionPrecision\":8,",
            "\"orderTypes\":[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\",\"STOP_LOSS\",\"STOP_LOSS_LIMIT\",",
            "\"TAKE_PROFIT\",\"TAKE_PROFIT_LIMIT\"],\"icebergAllowed\":true,\"ocoAllowed\":true,",
            "\"otoAllowed\":true,\"opoAllowed\":true,\"quoteOrderQtyMarketAllowed\":true,",
            "\"allowTrailingStop\":true,\"cancelReplaceAllowed\":true,\"amendAllowed\":true,",
            "\"pegInstructionsAllowed\":true,\"isSpotTradingAllowed\":true,",
            "\"isMarginTradingAllowed\":false,\"filters\":[",
            "{{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"{tick}\",\"maxPrice\":\"{price_max}\",\"tickSize\":\"{tick}\"}},",
            "{{\"filterType\":\"LOT_SIZE\",\"minQty\":\"{qty_min}\",\"maxQty\":\"{qty_max}\",\"stepSize\":\"{lot}\"}},",
            "{{\"filterType\":\"MARKET_LOT_SIZE\",\"minQty\":\"0.00000000\",\"maxQty\":\"{qty_max}\",\"stepSize\":\"0.00000000\"}},",
            "{{\"filterType\":\"NOTIONAL\",\"minNotional\":\"{notional}\",\"applyMinToMarket\":true,",
            "\"maxNotional\":\"9000000.00000000\",\"applyMaxToMarket\":false,\"avgPriceMins\":5}},",
            "{{\"filterType\":\"MAX_NUM_ORDERS\",\"maxNumOrders\":200}}",
            "],\"permissions\":[],\"permissionSets\":[[\"SPOT\"]],",
            "\"defaultSelfTradePreventionMode\":\"EXPIRE_MAKER\",",
            "\"allowedSelfTradePreventionModes\":[\"EXPIRE_TAKER\",\"EXPIRE_MAKER\",\"EXPIRE_BOTH\",\"DECREMENT\"]}}"
        ),
        symbol = instrument.name.symbol,
        status = status(instrument),
        base = instrument.base,
        quote = instrument.quote,
        tick = scales.price(instrument.tick),
        price_max =
            scales.price_i128(i128::from(instrument.tick.0).saturating_mul(PRICE_MAX_TICKS)),
        qty_min = scales.qty(qty_min),
        qty_max = scales.qty(qty_max),
        lot = scales.qty(instrument.lot),
        notional = Number::eight(instrument.notional_min.0, Money::SCALE),
    );
}

fn perpetual(body: &mut String, instrument: &Instrument) {
    let scales = Scales::of(MarketKind::Usdm, instrument);
    let (qty_min, qty_max) = quantities(instrument);
    put!(
        body,
        concat!(
            "{{\"symbol\":\"{symbol}\",\"pair\":\"{symbol}\",\"contractType\":\"PERPETUAL\",",
            "\"deliveryDate\":4133404800000,\"onboardDate\":1569398400000,\"status\":\"{status}\",",
            "\"maintMarginPercent\":\"2.5000\",\"requiredMarginPercent\":\"5.0000\",",
            "\"baseAsset\":\"{base}\",\"quoteAsset\":\"{quote}\",\"marginAsset\":\"{quote}\",",
            "\"pricePrecision\":{price_digits},\"quantityPrecision\":{qty_digits},",
            "\"baseAssetPrecision\":8,\"quotePrecision\":8,\"underlyingType\":\"COIN\",",
            "\"underlyingSubType\":[\"PoW\"],\"triggerProtect\":\"0.0500\",",
            "\"liquidationFee\":\"0.012500\",\"marketTakeBound\":\"0.05\",\"maxMoveOrderLimit\":10000,",
            "\"filters\":[",
            "{{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"{tick}\",\"maxPrice\":\"{price_max}\",\"tickSize\":\"{tick}\"}},",
            "{{\"filterType\":\"LOT_SIZE\",\"minQty\":\"{qty_min}\",\"maxQty\":\"{qty_max}\",\"stepSize\":\"{lot}\"}},",
            "{{\"filterType\":\"MARKET_LOT_SIZE\",\"minQty\":\"{qty_min}\",\"maxQty\":\"{market_max}\",\"stepSize\":\"{lot}\"}},",
            "{{\"filterType\":\"MAX_NUM_ORDERS\",\"limit\":200}},",
            "{{\"filterType\":\"MIN_NOTIONAL\",\"notional\":\"{notional}\"}},",
            "{{\"filterType\":\"PERCENT_PRICE\",\"multiplierUp\":\"1.0500\",\"multiplierDown\":\"0.9500\",\"multiplierDecimal\":\"4\"}},",
            "{{\"filterType\":\"POSITION_RISK_CONTROL\",\"positionControlSide\":\"NONE\"}}",
            "],\"orderTypes\":[\"LIMIT\",\"MARKET\",\"STOP\",\"STOP_MARKET\",\"TAKE_PROFIT\",",
            "\"TAKE_PROFIT_MARKET\",\"TRAILING_STOP_MARKET\"],",
            "\"timeInForce\":[\"GTC\",\"IOC\",\"FOK\",\"GTX\",\"GTD\",\"RPI\"]}}"
        ),
        symbol = instrument.name.symbol,
        status = status(instrument),
        base = instrument.base,
        quote = instrument.quote,
        price_digits = instrument.price_scale.digits(),
        qty_digits = instrument.qty_scale.digits(),
        tick = scales.price(instrument.tick),
        price_max =
            scales.price_i128(i128::from(instrument.tick.0).saturating_mul(PRICE_MAX_TICKS)),
        qty_min = scales.qty(qty_min),
        qty_max = scales.qty(qty_max),
        market_max = scales.qty(Qty(qty_max.0 / MARKET_PART)),
        lot = scales.qty(instrument.lot),
        notional = Number::new(instrument.notional_min.0, Money::SCALE, 0),
    );
}
