#!/usr/bin/env python3
"""What a strategy comes to on a file of candles: a second program, written from the rules alone.

Rules: `src/backtest/RULES.md` (how candles are played), `src/venue/sim/paper/RULES.md` (how orders are filled) and
the README (what the strategies do, how entries are sized). Money is `decimal`, indicators are doubles. It knows what
these tests need: one instrument, strategies that are long or flat with market orders, no risk limit in the way.

Prints one JSON object: fills and totals.
"""

import argparse
import csv
import gzip
import json
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal, setcontext

setcontext(Context(prec=60))
MONEY = Decimal(1).scaleb(-16)


def rows(path):
    opened = gzip.open(path, "rt") if path.endswith(".gz") else open(path, encoding="ascii")
    with opened as file:
        for row in csv.DictReader(file):
            yield [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")]


def digits(number):
    """Digits behind the point, without trailing zeros."""
    return max(0, -number.normalize().as_tuple().exponent)


class Ema:
    """Seeded by the mean of the first values."""

    def __init__(self, period):
        self.period, self.seen, self.state = period, 0, 0.0

    def push(self, x):
        if self.seen < self.period:
            self.seen += 1
            self.state += x
            if self.seen < self.period:
                return None
            self.state /= self.period
        else:
            factor = 2.0 / (self.period + 1)
            self.state = factor * x + (1.0 - factor) * self.state
        return self.state


class Rsi:
    """Wilder's averages, seeded by the means of the first changes."""

    def __init__(self, period):
        self.period, self.last, self.changes, self.gain, self.loss = period, None, 0, 0.0, 0.0

    def push(self, close):
        last, self.last = self.last, close
        if last is None:
            return None
        change = close - last
        gain, loss = (0.0, -change) if change < 0.0 else (change, 0.0)
        n = float(self.period)
        if self.changes < self.period:
            self.changes += 1
            self.gain += gain
            self.loss += loss
            if self.changes < self.period:
                return None
            self.gain /= n
            self.loss /= n
        else:
            self.gain = (self.gain * (n - 1.0) + gain) / n
            self.loss = (self.loss * (n - 1.0) + loss) / n
        total = self.gain + self.loss
        return 100.0 * (self.gain / total) if total > 0.0 else 0.0


class EmaCross:
    """Long while the fast average is above the slow one, flat otherwise."""

    def __init__(self, fast, slow):
        self.fast, self.slow = Ema(fast), Ema(slow)

    def wants(self, close, held):
        fast, slow = self.fast.push(close), self.slow.push(close)
        if fast is None or slow is None:
            return held
        return fast > slow


class RsiReversion:
    """Long below `oversold`; flat at `exit` or above, or where it would be short."""

    def __init__(self, period, oversold, exit, overbought):
        self.rsi, self.oversold, self.exit, self.overbought = Rsi(period), oversold, exit, overbought

    def wants(self, close, held):
        x = self.rsi.push(close)
        if x is None:
            return held
        if x < self.oversold:
            return True
        if x > self.overbought or (held and x >= self.exit):
            return False
        return held


def text(number):
    return format(number.normalize(), "f")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("strategy", choices=["ema_cross", "rsi_reversion"])
    parser.add_argument("--param", action="append", default=[])
    parser.add_argument("--cash", type=Decimal, required=True)
    parser.add_argument("--taker", type=Decimal, required=True)
    parser.add_argument("--quote", type=Decimal, required=True, help="worth of an entry")
    parser.add_argument("--bps", type=Decimal, default=Decimal(0))
    args = parser.parse_args()
    params = {name: int(value) for name, value in (p.split("=") for p in args.param)}
    strategy = {"ema_cross": EmaCross, "rsi_reversion": RsiReversion}[args.strategy](**params)

    candles = list(rows(args.file))
    # Scales and steps, from the digits of the file.
    price_digits = min(8, max(digits(p) for c in candles for p in c[:4]))
    dearest = int(max(c[1] for c in candles))
    fine = len(str(max(1, dearest))) - 1 + 3
    lot_digits = min(8, max(fine, max(digits(c[4]) for c in candles)))
    while lot_digits > 0 and max(c[4] for c in candles).scaleb(lot_digits) > Decimal(10) ** 18:
        lot_digits -= 1
    tick, lot = Decimal(1).scaleb(-price_digits), Decimal(1).scaleb(-lot_digits)
    share = args.bps / 10000

    cash, position, cost = args.cash, Decimal(0), Decimal(0)
    fees, realized, turnover, fills = Decimal(0), Decimal(0), Decimal(0), []
    order = None  # what was decided on the last candle: (side, quantity)
    for open_, _high, _low, close, _volume in candles:
        if order is not None:
            side, qty = order
            half = max(tick, (open_ * share).quantize(tick, ROUND_DOWN))
            price = open_ + half if side == "buy" else open_ - half
            value = price * qty
            fee = (value * args.taker).quantize(MONEY, ROUND_HALF_EVEN)
            fees += fee
            turnover += value
            if side == "buy":
                cash -= value + fee
                position += qty
                cost += value
            else:
                assert qty == position, "these strategies close what they hold"
                realized += value - cost
                cash += value - fee
                position, cost = Decimal(0), Decimal(0)
            fills.append({"side": side, "price": text(price), "quantity": text(qty), "fee": text(fee)})
        order = None
        wants = strategy.wants(float(close), position > 0)
        if wants and position == 0:
            order = ("buy", (args.quote / close).quantize(lot, ROUND_DOWN))
        elif not wants and position > 0:
            order = ("sell", position)
    # The last candle is closed by nothing: what it decided is not done.
    equity = cash + position * candles[-1][3]
    print(
        json.dumps(
            {
                "fills": fills,
                "equity": text(equity),
                "net_pnl": text(equity - args.cash),
                "realized_pnl": text(realized),
                "fees": text(fees),
                "turnover": text(turnover),
            }
        )
    )


if __name__ == "__main__":
    main()
