//! Text scenarios: market and orders in, the log of what happened out.
//!
//! Each file under `tests/scenarios/` is a list of commands; what the engine did after each stands
//! below it in lines that begin with `>`. `HEAN_BLESS=1` rewrites the files from what happens; read
//! the difference before you keep it. After every command the sums over open orders are made anew and
//! compared, and the account must add up.
//!
//! The first command may be `setup`, with any of `perpetual`, `two` (a second instrument, ETHUSDT), `hedge`,
//! `cash=…`, `fees=MAKER/TAKER`, `latency=…` (of commands), `report-latency=…`, `liquidation-fee=…`, and limits:
//! `daily-loss=…`, `drawdown=…%`, `streak=LOSSES/SECONDS`, `rate=ORDERS` a second, `exposure=…`, `orders=…`,
//! `collar=…%`.
//!
//! Market: `book BIDS | ASKS` (levels `PRICExQTY`), `depth …` (a difference), `trade SIDE PRICE QTY`, `mark PRICE`,
//! `funding RATE in SECONDS`, `lost`.
//!
//! Orders: `buy|sell QTY|QTYusdt|all`, then any of `@PRICE`, `stop PRICE`, `tp PRICE`, `trail SHARE%`, `from PRICE`
//! (activation), `by last|mark|index`, `ioc`, `fok`, `gtd=SECONDS`, `post`, `reduce`, `long`, `short`, `key=K`,
//! `oco=TRIGGER[@PRICE]`, and the exits of a bracket: `profit=TRIGGER[@PRICE]`, `loss=TRIGGER[@PRICE]`.
//! `amend ID` with `@PRICE`, `stop PRICE`, `qty QTY`. `cancel ID`, `cancel-all`, `close [long|short]`.
//!
//! Account: `leverage N [cross|isolated]`, `halt [flatten]`, `resume`, `account`, `orders`, `risk`,
//! `deposit ASSET AMOUNT VALUE`.
//!
//! Besides: `on SYMBOL` (for what follows), `wait SECONDS`, `restart`, and `said ID …`, what a venue says of an
//! order beside the paper venue: `fill TRADE PRICE QTY [fee=…|fee=…BTC]`, `lost`.

mod scenario_runner;

use std::fmt::Write as _;

use scenario_runner::Runner;

#[test]
fn scenarios() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let bless = std::env::var_os("HEAN_BLESS").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).expect("scenario");
        let mut commands = text.lines().filter(|l| !l.starts_with('>')).peekable();
        let mut log = String::new();
        let mut setup = "";
        while let Some(line) = commands.next_if(|l| l.starts_with("setup") || l.starts_with('#')) {
            writeln!(log, "{line}").expect("write");
            if let Some(words) = line.strip_prefix("setup") {
                setup = words;
                break;
            }
        }
        let mut runner = Runner::new(setup);
        for line in commands {
            writeln!(log, "{line}").expect("write");
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                runner.run(line, &mut log);
            }
        }
        if bless {
            std::fs::write(&path, &log).expect("write");
        } else {
            assert_eq!(
                log,
                text,
                "{}: read the difference; HEAN_BLESS=1 keeps it",
                path.display()
            );
        }
    }
}
