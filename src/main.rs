//! The binary: command line in, the one function that runs it, exit code out.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use hean::backtest::command::{CommandError, backtest};
use hean::candle_csv;
use hean::cli::{
    Cli, Command, ConfigCommand, DownloadArgs, Exit, HistoryCommand, IndicatorsArgs,
    JournalCommand, KeydbCommand, LookArgs, ManArgs, RecordArgs, ReplayArgs, RunArgs, ServerArgs,
    ServiceArgs, SideArg, SimArgs, TokenCommand,
};
use hean::client::show::{Manner, Show, ShowError, show};
use hean::client::{self, Ask, Client, ClientError};
use hean::config::{self, ConfigError, Loaded, LogFormat, LogSettings, Settings};
use hean::daemon::{self, DaemonError};
use hean::doctor::{self, Verdict};
use hean::history::{self, Download, HistoryError};
use hean::indicator_text;
use hean::journal;
use hean::journal_tool::{self, JournalToolError};
use hean::json::Json;
use hean::kernel::KernelConfig;
use hean::kernel::event::Seq;
use hean::kernel::indicators::{IndicatorError, Spec};
use hean::kernel::types::{Time, VenueId};
use hean::logging;
use hean::record;
use hean::replay::{ReplayConfig, replay};
use hean::runtime::clock::{Clock, wall};
use hean::runtime::supervise::{End, Supervisor};
use hean::service_tool;
use hean::setup::{self, SetupError};
use hean::store::bench;
use hean::store::migrate::{self, Progress, ToolError};
use hean::strategy_text;
use hean::token_tool;
use hean::top::{self, TopError};
use hean::venue::sim::{self, MarketKind, SimConfig, Source, Speed};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = Exit::from(&error);
            drop(error.print());
            return exit.into();
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = exit_of(&error);
            drop(writeln!(std::io::stderr(), "error: {}", words(&error)));
            exit.into()
        }
    }
}

/// An error with its causes, those left out whose words it has said already.
fn words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The exit code that an error stands for.
fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return error.into();
    }
    if error.is::<SetupError>() {
        return Exit::Configuration;
    }
    if let Some(error) = error.downcast_ref::<DaemonError>() {
        return match () {
            () if error.is_unreachable() => Exit::Unreachable,
            () if error.is_configuration() => Exit::Configuration,
            () => Exit::Failure,
        };
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return error.exit();
    }
    if let Some(ShowError::Client(error)) = error.downcast_ref() {
        return error.exit();
    }
    if let Some(TopError::Client(error)) = error.downcast_ref() {
        return error.exit();
    }
    if let Some(error) = error.downcast_ref::<ToolError>() {
        return error.exit();
    }
    if let Some(HistoryError::Start(error)) = error.downcast_ref::<HistoryError>() {
        return if error.is_unreachable() {
            Exit::Unreachable
        } else {
            Exit::Failure
        };
    }
    if let Some(error) = error.downcast_ref::<CommandError>() {
        return error.exit();
    }
    if error.is::<IndicatorError>() {
        return Exit::Usage;
    }
    Exit::Failure
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Run(args) => run_daemon(&args, cli.json)?,
        Command::Sim(args) => run_sim(args, cli.json)?,
        Command::Record(args) => run_record(&args, cli.json)?,
        Command::Replay(args) => run_replay(&args, cli.json)?,
        Command::Backtest(args) => print(&backtest(&args, cli.json)?)?,
        Command::History(HistoryCommand::Download(args)) => run_download(&args, cli.json)?,
        Command::Show(command) => return run_show(&command.show(), command.look(), cli.json),
        Command::Top(args) => return run_top(&args.look),
        Command::Indicators(args) => match args.show() {
            Some(show) => return run_show(&show, &args.look, cli.json),
            None => run_indicators(&args, cli.json)?,
        },
        Command::Buy(args) => talk(&args.at, &args.ask(SideArg::Buy), cli.json)?,
        Command::Sell(args) => talk(&args.at, &args.ask(SideArg::Sell), cli.json)?,
        Command::Cancel(args) => talk(&args.at, &args.ask(), cli.json)?,
        Command::CancelAll(args) => talk(&args.at, &args.ask(), cli.json)?,
        Command::Amend(args) => talk(&args.at, &args.ask(), cli.json)?,
        Command::Close(args) => talk(&args.at, &args.ask(), cli.json)?,
        Command::Halt(args) => talk(&args.at, &args.ask(), cli.json)?,
        Command::Resume(at) => talk(&at, &Ask::plain("POST", "/api/v1/resume"), cli.json)?,
        Command::Risk(at) => talk(&at, &Ask::plain("GET", "/api/v1/risk"), cli.json)?,
        Command::Keydb(command) => return run_keydb(&command, cli.json),
        Command::Doctor(args) => return run_doctor(&args, cli.json),
        Command::Config(command) => run_config(&command, cli.json)?,
        Command::Journal(command) => run_journal(&command, cli.json)?,
        Command::Token(command) => run_token(&command, cli.json)?,
        Command::InstallService(args) => run_service(&args, cli.json)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            Cli::completions(shell, &mut script).context("cannot make the script")?;
            write_out(&script)?;
        }
        Command::Man(args) => run_man(&args)?,
    }
    Ok(Exit::Ok)
}

/// The tools for the store's server; a difference is a result, and has a code of its own.
fn run_keydb(command: &KeydbCommand, json: bool) -> anyhow::Result<Exit> {
    if command.shows_password() {
        drop(writeln!(
            std::io::stderr(),
            "warning: a password on the command line is visible to every user of this machine; keep the \
             URL in a variable or a file and write env:NAME or file:PATH"
        ));
    }
    let runtime = runtime()?;
    let mut progress = Progress::of_process();
    let (out, exit) = match command {
        KeydbCommand::Migrate(args) => {
            // The resolver belongs to the runtime.
            let report = runtime
                .block_on(async { migrate::migrate(&args.options()?, &mut progress).await })?;
            let text = || report.to_text().into_bytes();
            (if json { report.to_json() } else { text() }, report.exit())
        }
        KeydbCommand::Verify(args) => {
            let verdict = runtime
                .block_on(async { migrate::verify(&args.options()?, &mut progress).await })?;
            let text = || verdict.to_text().into_bytes();
            (
                if json { verdict.to_json() } else { text() },
                verdict.exit(),
            )
        }
        KeydbCommand::Bench(args) => {
            let measured =
                runtime.block_on(async { bench::run(&args.config()?, &Clock::start()).await })?;
            let text = || measured.to_text().into_bytes();
            (if json { measured.to_json() } else { text() }, Exit::Ok)
        }
    };
    drop(progress);
    print(&out)?;
    Ok(exit)
}

/// Tells the running daemon.
fn talk(at: &ServerArgs, ask: &Ask, json: bool) -> anyhow::Result<()> {
    let place = at.place()?;
    let ask = if json {
        ask.clone()
    } else {
        ask.clone().exact()
    };
    // The resolver belongs to the runtime.
    let document = runtime()?.block_on(async { Client::new(place).ask(&ask).await })?;
    if json {
        print(&document)?;
    } else {
        print(client::words(&document).as_bytes())?;
    }
    Ok(client::known(&document)?)
}

/// Asks the running daemon.
fn run_show(what: &Show, look: &LookArgs, json: bool) -> anyhow::Result<Exit> {
    let place = look.at.place()?;
    let manner = Manner {
        json,
        look: look.look(),
        redraw: std::io::stdout().is_terminal(),
    };
    let shown = runtime()?.block_on(async {
        let mut client = Client::new(place);
        let (mut out, mut note) = (std::io::stdout().lock(), std::io::stderr());
        show(what, &mut client, manner, &mut out, &mut note).await
    });
    match shown {
        // Whoever reads has seen enough: `hean orders --all | head`.
        Err(ShowError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Ok),
        shown => Ok(shown?),
    }
}

/// A live view of the running daemon.
fn run_top(look: &LookArgs) -> anyhow::Result<Exit> {
    let place = look.at.place()?;
    let runtime = runtime()?;
    let ended = runtime.block_on(top::run(place, look.look()));
    runtime.shutdown_background();
    Ok(ended?)
}

fn run_man(args: &ManArgs) -> anyhow::Result<()> {
    if let Some(dir) = &args.dir {
        let count =
            Cli::manuals(dir).with_context(|| format!("cannot write to {}", dir.display()))?;
        return print(format!("{count} pages in {}", dir.display()).as_bytes());
    }
    let mut page = Vec::new();
    Cli::manual(&mut page).context("cannot make the page")?;
    write_out(&page)
}

/// The daemon.
fn run_daemon(args: &RunArgs, json: bool) -> anyhow::Result<()> {
    let loaded = config::load(&args.sources(json))?;
    logging::init(&loaded.settings.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Here the places of errors are known; the daemon has the settings alone.
    checked(&loaded)?;
    let runtime = runtime()?;
    let sources = args.sources(json);
    let ended = runtime.block_on(daemon::run(loaded, sources));
    // A disk that hangs must not keep the process.
    runtime.shutdown_background();
    Ok(ended?)
}

/// The preflight check; exit code 1 when something must be mended first.
fn run_doctor(args: &RunArgs, json: bool) -> anyhow::Result<Exit> {
    let loaded = config::load(&args.sources(json))?;
    let runtime = runtime()?;
    let report = runtime.block_on(doctor::examine(&loaded, &Clock::start()));
    runtime.shutdown_background();
    if json {
        print(&report.to_json())?;
    } else {
        print(report.to_text().trim_end().as_bytes())?;
    }
    Ok(match report.verdict() {
        Verdict::Ok | Verdict::Hint | Verdict::Warn => Exit::Ok,
        Verdict::Fail => Exit::Failure,
    })
}

/// The kernel's configuration; an error in it is told with its place in the file.
fn checked(loaded: &Loaded) -> Result<KernelConfig, SetupError> {
    setup::kernel_config(&loaded.settings, Vec::new()).map_err(|e| setup::placed(e, loaded))
}

/// The recorder, until a signal or its time is over.
fn run_record(args: &RecordArgs, json: bool) -> anyhow::Result<()> {
    let loaded = config::load(&args.sources(json))?;
    logging::init(&loaded.settings.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut settings = loaded.settings;
    let dir = settings.record.dir.get_or_insert("recordings".into());
    let dir = dir.display().to_string();
    let runtime = runtime()?;
    let ended = runtime.block_on(record::run(settings, args.duration));
    // A disk that hangs must not keep the process.
    runtime.shutdown_background();
    let status = ended?;
    let counts = [
        ("frames", &status.frames),
        ("dropped", &status.dropped),
        ("bytes_raw", &status.bytes_raw),
        ("bytes_written", &status.bytes_written),
        ("files", &status.files),
    ];
    let counts = counts.map(|(name, count)| (name, count.load(Ordering::Relaxed)));
    if json {
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("dir").text(&dir);
            for (name, count) in counts {
                j.key(name).int(count);
            }
        });
        return print(&json.into_bytes());
    }
    let [frames, dropped, raw, written, files] = counts.map(|(_, count)| count);
    let text = format!(
        "{frames} frames in {files} files in {dir}: {raw} bytes, {written} compressed; {dropped} frames dropped"
    );
    print(text.as_bytes())
}

/// Candles of the past into files.
fn run_download(args: &DownloadArgs, json: bool) -> anyhow::Result<()> {
    let loaded = config::load(&args.sources(json))?;
    logging::init(&loaded.settings.log)?;
    let wanted = Download {
        venue: args.exchange,
        interval: args.interval,
        from: args.from,
        to: args.to.unwrap_or(Time(i64::MAX)),
        dir: args.dir.clone(),
    };
    let all = runtime()?.block_on(history::download(&loaded.settings, &wanted))?;
    print(&history::summary(&all, json))
}

/// The simulated venue, until a signal.
fn run_sim(args: SimArgs, json: bool) -> anyhow::Result<()> {
    let format = if json {
        LogFormat::Json
    } else {
        LogFormat::Auto
    };
    logging::init(&LogSettings {
        format,
        ..Settings::default().log
    })?;
    let source = if args.input.is_empty() {
        Source::Synthetic {
            seed: args.seed,
            symbols: args.symbols,
            speed: match args.speed {
                Speed::Times(times) => times,
                Speed::Max => sim::SPEED_MAX,
            },
            rate: args.rate,
        }
    } else {
        let exchange = args.exchange.first().copied();
        Source::Recording {
            files: args.input,
            exchange: exchange.unwrap_or(VenueId::Binance),
            speed: args.speed,
        }
    };
    let kinds: Vec<MarketKind> = args.exchange.into_iter().map(MarketKind::of).collect();
    let usual = SimConfig::new(source);
    let config = SimConfig {
        listen: args.listen,
        faults: args.fault,
        seed: args.seed,
        // Paths without a market mean spot, unless futures are simulated and spot is not.
        bare: if kinds.contains(&MarketKind::Usdm) && !kinds.contains(&MarketKind::Spot) {
            MarketKind::Usdm
        } else {
            MarketKind::Spot
        },
        begin: if kinds.is_empty() {
            usual.begin.clone()
        } else {
            kinds
        },
        ..usual
    };
    runtime()?.block_on(async {
        let mut supervisor = Supervisor::default();
        let venue = sim::start(config, Clock::start(), supervisor.stopping()).await?;
        print(format!("listening on http://{}", venue.local_addr).as_bytes())?;
        supervisor.spawn("simulated venue", venue.task);
        let end = supervisor.watch().await?;
        let failed = supervisor.drain(Duration::from_secs(5)).await;
        anyhow::ensure!(
            matches!(end, End::Asked(_)),
            "the simulated venue ended: {end:?}"
        );
        anyhow::ensure!(failed.is_empty(), "{}", failed.join("; "));
        Ok(())
    })
}

/// The runtime of everything that does I/O.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let build = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    build.context("cannot start the I/O threads")
}

/// Writes a line of data to stdout.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    write_out(&[bytes, b"\n"].concat())
}

/// Writes data to stdout. Whoever reads it may have seen enough before its end.
fn write_out(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

fn run_config(command: &ConfigCommand, json: bool) -> anyhow::Result<()> {
    let (args, origin) = match command {
        ConfigCommand::Check(args) => (args, None),
        ConfigCommand::Show { origin, run } => (run, Some(*origin)),
        ConfigCommand::Strategies if json => return print(&strategy_text::table_json()),
        ConfigCommand::Strategies => return print(strategy_text::table_text().as_bytes()),
    };
    let loaded = config::load(&args.sources(false))?;
    checked(&loaded)?;
    for warning in &loaded.warnings {
        drop(writeln!(std::io::stderr(), "warning: {warning}"));
    }
    match origin {
        Some(_) if json => print(loaded.to_json().to_string().as_bytes()),
        Some(origin) => print(loaded.to_toml(origin).trim_end().as_bytes()),
        None if json => print(b"{\"ok\":true}"),
        None => print(b"the configuration is good"),
    }
}

fn run_journal(command: &JournalCommand, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let ended = match command {
        JournalCommand::Check(args) => journal_tool::check(&args.data_dir()?, json, &mut out),
        JournalCommand::Dump(args) => {
            let range = (args.from, args.to);
            journal_tool::dump(&args.journal.data_dir()?, range, json, &mut out)
        }
        JournalCommand::Tail(args) => {
            let wait = |period| {
                std::thread::sleep(period);
                true
            };
            journal_tool::tail(&args.journal.data_dir()?, args.from, json, &mut out, &wait)
        }
        JournalCommand::Quarantine(args) => {
            let dir = args.journal.data_dir()?;
            journal::put_under_quarantine(&dir, Seq(args.seq))?;
            drop(out);
            return if json {
                print(format!("{{\"quarantined\":{}}}", args.seq).as_bytes())
            } else {
                let text = format!(
                    "record {} is passed over from now on; the next start lets only reductions pass until: hean resume",
                    args.seq
                );
                print(text.as_bytes())
            };
        }
    };
    match ended {
        // Whoever reads has seen enough: `hean journal dump | head`.
        Err(JournalToolError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(())
        }
        ended => Ok(ended?),
    }
}

fn run_token(command: &TokenCommand, json: bool) -> anyhow::Result<()> {
    let said = token_tool::run(command, &command.place().data_dir()?, json, wall())?;
    print(&said.data)?;
    if let Some(note) = said.note {
        drop(writeln!(std::io::stderr(), "{note}"));
    }
    Ok(())
}

fn run_service(args: &ServiceArgs, json: bool) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find the file of this program")?;
    let report = service_tool::run(args, &program)?;
    if json {
        return print(&report.to_json());
    }
    print(report.to_text().as_bytes())
}

fn run_replay(args: &ReplayArgs, json: bool) -> anyhow::Result<()> {
    let settings = config::load(&args.sources())?.settings;
    let config = ReplayConfig {
        files: args.files.clone(),
        venue: args.exchange,
        kernel: setup::kernel_config(&settings, args.indicators.clone())?,
        cash: (settings.paper.currency.clone(), settings.paper.cash),
        paper: setup::paper(&settings),
        fees: (settings.paper.maker_fee, settings.paper.taker_fee),
        depth: usize::from(args.depth),
    };
    let replayed = replay(&config, &Clock::start())?;
    for fault in &replayed.faults {
        drop(writeln!(std::io::stderr(), "warning: {fault}"));
    }
    if json {
        return print(&replayed.to_json(&config));
    }
    print(replayed.summary().trim_end().as_bytes())
}

fn run_indicators(args: &IndicatorsArgs, json: bool) -> anyhow::Result<()> {
    let (Some(kind), Some(input)) = (&args.kind, &args.input) else {
        return if json {
            print(&indicator_text::table_json())
        } else {
            print(indicator_text::table_text().as_bytes())
        };
    };
    let mut text = kind.clone();
    for param in &args.params {
        text.push(':');
        text.push_str(param);
    }
    let spec = Spec::parse(&text)?;
    let rows = candle_csv::read(input)?;
    let values = indicator_text::values(&spec, &rows)?;
    if json {
        return print(&indicator_text::series_json(&spec, &rows, &values));
    }
    print(indicator_text::series_csv(&spec, &rows, &values).as_bytes())
}
