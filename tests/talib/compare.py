"""Every indicator that TA-Lib has, computed by `hean indicators` and by TA-Lib, over real and random candles.

    compare.py HEAN [CANDLES.csv.gz]

needs what requirements.txt lists. Ends with exit code 1 if a value differs by more than
1e-9 of itself and 1e-11 of the largest price and value of the series, which is what rounding leaves where
large numbers cancel, or if it is there in one and not in the other.

The sets of parameters, the defaults and both ends of every range among them, come from
`hean indicators --list --json`: a new row of the table is checked without a change here, unless TA-Lib
takes its inputs or parameters in another order than ours.
"""

import csv
import gzip
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from fractions import Fraction

import numpy
import talib

# TA-Lib's kinds of moving averages.
SMA, EMA = 0, 1

# Where TA-Lib is called otherwise than with our inputs and parameters in their order.
CALLS = {
    "apo": lambda f, c, p: f(c["close"], p[0], p[1], EMA),
    "ppo": lambda f, c, p: f(c["close"], p[0], p[1], EMA),
    "bbands": lambda f, c, p: f(c["close"], p[0], p[1], p[1]),
    "stoch": lambda f, c, p: f(c["high"], c["low"], c["close"], p[0], p[1], SMA, p[2], SMA),
    "stochf": lambda f, c, p: f(c["high"], c["low"], c["close"], p[0], p[1], SMA),
    "stochrsi": lambda f, c, p: f(c["close"], p[0], p[1], p[2], SMA),
}
# Values between the ends of a range that are worth a look.
PERIODS = [1, 2, 3, 5, 14, 37, 200]
FACTORS = [0.0, 0.1, 0.7, 1.0, 2.5]


def parameter_sets(row, seed):
    """Defaults, each end of each parameter, all of them at their smallest, and some at random."""
    defaults = [p["default"] for p in row["params"]]
    yield defaults
    if not defaults:
        return
    yield [p["min"] for p in row["params"]]
    for at, param in enumerate(row["params"]):
        # The largest period is longer than any file here: all there is to see is that nothing comes.
        for end in (param["min"], param["max"]):
            yield defaults[:at] + [end] + defaults[at + 1 :]
    choose = random.Random(f"{row['name']} {seed}")
    for _ in range(4):
        values = []
        for param in row["params"]:
            inner = PERIODS if param["whole"] else FACTORS
            values.append(choose.choice([v for v in inner if param["min"] <= v <= param["max"]]))
        yield values


def ours(hean, row, params, path):
    command = [hean, "--json", "indicators", "--input", path, "--type", row["name"]]
    if params:
        # The shortest text of a whole number has no point.
        texts = [repr(int(v)) if p["whole"] else repr(v) for p, v in zip(row["params"], params)]
        command.append("--params=" + ":".join(texts))
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.decode()}")
    outputs = json.loads(done.stdout)["outputs"]
    return [numpy.array(outputs[name], dtype=float) for name in row["outputs"]]


def theirs(row, params, candles):
    function = getattr(talib, row["ta_lib"])
    params = [int(v) if p["whole"] else v for p, v in zip(row["params"], params)]
    call = CALLS.get(row["name"], lambda f, c, p: f(*[c[name] for name in row["inputs"]], *p))
    values = call(function, candles, params)
    return list(values) if isinstance(values, tuple) else [values]


def differences(mine, reference, price):
    """Where they differ; both there or both missing, and near."""
    missing = numpy.isnan(mine) != numpy.isnan(reference)
    size = numpy.maximum(abs(mine), abs(reference))
    whole = max(numpy.nanmax(price), numpy.nanmax(size, initial=0.0))
    far = abs(mine - reference) > numpy.maximum(1e-9 * size, 1e-11 * whole)
    return numpy.flatnonzero(missing | far)


def exact_beta(params, candles, at):
    """BETA of one candle in fractions, and what the rounding of single returns may do to it."""
    window = slice(at - int(params[0]), at + 1)
    high, low = ([Fraction(x) for x in candles[name][window]] for name in ("high", "low"))
    x, y = ([b / a - 1 for a, b in zip(prices, prices[1:])] for prices in (high, low))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((v - mean_x) ** 2 for v in x)
    if spread == 0:
        return 0.0, 0.0
    together = sum((v - mean_x) * (w - mean_y) for v, w in zip(x, y))
    largest = float(max(map(abs, x)) / max(abs(v - mean_x) for v in x))
    return float(together / spread), 1e-9 + 1e-15 * largest


def judged(row, params, candles, mine, reference, wrong):
    """The differences that are ours. TA-Lib takes the sums of BETA anew only after digits have gone, so
    there exact arithmetic decides."""
    if row["name"] != "beta":
        return wrong
    ours = []
    for at in wrong:
        if numpy.isnan(mine[at]) or numpy.isnan(reference[at]):
            ours.append(at)
            continue
        exact, part = exact_beta(params, candles, at)
        if not abs(mine[at] - exact) <= part * abs(exact):
            ours.append(at)
    return ours


def walk(seed, count, tick, jump, flat):
    """A random walk on a tick grid: with gaps between candles, flat stretches, and idle candles."""
    choose = random.Random(seed)
    rows, price = [], 1_000
    for at in range(count):
        if choose.random() < jump:
            price = max(50, int(price * choose.uniform(0.9, 1.1)))
        still = choose.random() < flat or (flat > 0 and (at // 60) % 5 == 4)
        step = (lambda: 0) if still else (lambda: choose.randint(-6, 6))
        start = max(50, price)
        end = max(50, start + step())
        high, low = max(start, end) + abs(step()), max(10, min(start, end) - abs(step()))
        volume = 0 if still and choose.random() < 0.7 else choose.randint(1, 10**9) / 1000
        rows.append((f"{at * 60_000}", start * tick, high * tick, low * tick, end * tick, volume))
        price = end
    return rows


def real(path):
    opener = gzip.open if path.endswith(".gz") else open
    names = ("timestamp", "open", "high", "low", "close", "volume")
    with opener(path, "rt", newline="") as file:
        return [tuple(row[name] for name in names) for row in csv.DictReader(file)]


def write(folder, name, rows):
    path = os.path.join(folder, name)
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["timestamp", "open", "high", "low", "close", "volume"])
        out.writerows(rows)
    columns = numpy.array([[float(x) for x in row[1:]] for row in rows]).T.copy()
    return path, dict(zip(("open", "high", "low", "close", "volume"), columns))


def main(hean, candles=None):
    shown = subprocess.run([hean, "--json", "indicators", "--list"], capture_output=True, check=True)
    table = json.loads(shown.stdout)["indicators"]
    table = [row for row in table if row["ta_lib"]]
    files = {
        "a walk": walk(1, 900, 0.01, 0.0, 0.0),
        "a walk with gaps": walk(2, 900, 0.5, 0.02, 0.0),
        "a walk with flat stretches": walk(3, 900, 0.001, 0.01, 0.05),
        "a cheap asset": walk(4, 600, 1e-8, 0.01, 0.02),
        "a dear asset": walk(5, 600, 1e4, 0.01, 0.02),
        "one price": [(f"{at * 60_000}", 97.3, 97.3, 97.3, 97.3, 1.5) for at in range(300)],
        "two candles": walk(6, 2, 0.01, 0.0, 0.0),
    }
    if candles:
        files["real candles"] = real(candles)
    compared, failures = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for number, (title, rows) in enumerate(files.items()):
            path, columns = write(folder, f"{number}.csv", rows)
            for row in table:
                sets = parameter_sets(row, number)
                for params in (list(p) for p, _ in itertools.groupby(sets)):
                    mines, references = ours(hean, row, params, path), theirs(row, params, columns)
                    names = itertools.zip_longest(row["outputs"], mines, references)
                    for output, mine, reference in names:
                        compared += len(mine)
                        wrong = differences(mine, reference, columns["close"])
                        wrong = judged(row, params, columns, mine, reference, wrong)
                        if len(wrong):
                            at = wrong[0]
                            failures.append(
                                f"{title}: {row['name']} {params} {output}: {len(wrong)} differ, first at "
                                f"{at}: {mine[at]!r}, TA-Lib {reference[at]!r}"
                            )
    for failure in failures:
        print(failure)
    version = f"TA-Lib {talib.__ta_version__.decode()}"
    print(f"{len(table)} indicators, {compared} values compared with {version}, {len(failures)} series differ")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
