"""The API against its own description, in a daemon that trades a synthetic market.

    check.py HEAN [SECONDS]

Starts `HEAN run --demo`, and then: the description is valid OpenAPI; a client generated from it places an order and
reads it back; schemathesis finds no answer that the description does not announce and no 5xx, for SECONDS at most
(default 60); and the page at /docs shows it in Chromium without an error and without any outside host.
Needs requirements.txt beside it. Exit code 1 if something is wrong. Without Chromium the page is skipped, with CI set
that is a failure.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BIN = pathlib.Path(sys.executable).parent


def start(hean, directory):
    """The daemon and where it listens."""
    log = open(directory / "log", "wb")
    command = [hean, "run", "--demo", "--seed", "7", "--listen", "127.0.0.1:0"]
    daemon = subprocess.Popen(
        [*command, "--data-dir", str(directory / "data")], stdout=log, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and daemon.poll() is None:
        found = re.search(r"listening on (http://127\.0\.0\.1:\d+)", (directory / "log").read_text())
        if found:
            return daemon, found.group(1)
        time.sleep(0.1)
    daemon.kill()
    sys.exit("the daemon does not listen:\n" + (directory / "log").read_text())


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def valid(document):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(document).validate()
    print(f"{len(document['paths'])} paths are valid OpenAPI {document['openapi']}")


def client_works(base, directory):
    """Generates a client, and with it places an order and reads it and its executions back."""
    command = ["generate", "--path", "openapi.json", "--output-path", "generated", "--meta", "none"]
    done = subprocess.run(
        [BIN / "openapi-python-client", *command],
        cwd=directory,
        env={**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', '')}"},
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    if done.returncode or "Warning" in said or "Error" in said:
        sys.exit(f"no client can be generated without a warning:\n{said}")
    sys.path.insert(0, str(directory))
    import attrs
    from generated import Client
    from generated.api.market import get_ticker
    from generated.api.orders import get_order, list_fills, place_order
    from generated.models import ListFillsNumbers, Order, OrderRequest, Problem
    from generated.models.order_type import OrderType
    from generated.models.side import Side

    client = Client(base_url=base)
    # The market of the demo begins within a second or two.
    deadline = time.monotonic() + 60
    while True:
        price = get_ticker.sync("BTCUSDT", client=client).price
        ready = urllib.request.Request(base + "/readyz")
        try:
            urllib.request.urlopen(ready, timeout=10)
        except urllib.error.HTTPError:
            price = None
        if price is not None:
            break
        if time.monotonic() > deadline:
            sys.exit("the market does not begin")
        time.sleep(0.2)
    body = OrderRequest(
        symbol="BTCUSDT",
        side=Side.BUY,
        type_=OrderType.MARKET,
        quantity="0.001",
        client_order_id="a-generated-client",
    )
    first = place_order.sync_detailed(client=client, body=body)
    assert first.status_code == 201 and isinstance(first.parsed, Order), first
    again = place_order.sync_detailed(client=client, body=body)
    assert again.status_code == 200 and again.headers["idempotent-replay"] == "true", again
    assert again.parsed.order_id == first.parsed.order_id, again
    # Many at once with one key: one of them places the order.
    body = attrs.evolve(body, client_order_id="all-at-once")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        place = lambda _: place_order.sync_detailed(client=Client(base_url=base), body=body)
        answers = list(pool.map(place, range(8)))
    assert sorted(a.status_code for a in answers) == [200] * 7 + [201], answers
    assert len({a.parsed.order_id for a in answers}) == 1, answers
    other = place_order.sync_detailed(client=client, body=attrs.evolve(body, quantity="0.002"))
    assert other.status_code == 422 and other.parsed.code == "idempotency_conflict", other
    read = get_order.sync(first.parsed.order_id, client=client)
    assert read.client_order_id == "a-generated-client", read
    assert first.headers["location"] == f"/api/v1/orders/{read.order_id}", first
    fills = list_fills.sync(
        client=client, order_id=read.order_id, numbers=ListFillsNumbers.STRING
    ).items
    assert fills and all(fill.order_id == read.order_id for fill in fills), fills
    unknown = get_order.sync("0", client=client)
    assert isinstance(unknown, Problem) and unknown.code == "unknown_order", unknown
    print(f"a generated client placed order {read.order_id} and read {len(fills)} execution(s) of it")


def keeps_its_word(base, directory, seconds):
    command = ["run", "openapi.json", "--url", base, "--checks", "all"]
    # The last three need resources that a request makes and another one deletes; orders stay.
    without = "positive_data_acceptance,use_after_free,ensure_resource_availability,object_level_authorization"
    limits = ["--phases", "examples,coverage,fuzzing", "--max-examples", "25"]
    # They answer for as long as they are listened to.
    limits += ["--exclude-path", "/ws", "--exclude-path", "/api/v1/stream"]
    limits += ["--max-time", str(seconds), "--seed", "1", "--no-shrink", "--warnings", "off"]
    done = subprocess.run(
        [BIN / "schemathesis", *command, "--exclude-checks", without, *limits], cwd=directory
    )
    if done.returncode:
        sys.exit("schemathesis found that the description is not kept")


def page_works(base, directory):
    """The page in a browser that can reach nothing else: what it asks of others is an error on its console."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        if os.environ.get("CI"):
            sys.exit("no chromium for the page at /docs")
        print("1 skipped: the page at /docs, no chromium")
        return
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={directory / 'browser'}",
            "--virtual-time-budget=20000",
            "--enable-logging=stderr",
            "--dump-dom",
            f"{base}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    shown = done.stdout.count('class="opblock-summary-path"')
    operations = sum(
        method in item
        for item in fetch(f"{base}/openapi.json")["paths"].values()
        for method in ("get", "post", "patch", "delete", "put")
    )
    if console or shown != operations or "Authorize" not in done.stdout:
        sys.exit(f"/docs shows {shown} of {operations} operations; its console says {console}")
    print(f"/docs shows {shown} operations and loads nothing from elsewhere")


def main():
    hean = str(pathlib.Path(sys.argv[1]).resolve())
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        directory = pathlib.Path(place)
        daemon, base = start(hean, directory)
        try:
            document = fetch(f"{base}/openapi.json")
            (directory / "openapi.json").write_text(json.dumps(document))
            valid(document)
            client_works(base, directory)
            page_works(base, directory)
            keeps_its_word(base, directory, seconds)
            if daemon.poll() is not None:
                sys.exit("the daemon has ended")
        finally:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()


main()
