//! Faults as text: `KIND[@MARKET[/PATTERN]][:KEY=VALUE]…`, and the short forms `drop-depth:N` and `cut:N`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Fault, FaultKind, MarketKind, Pattern, Target, Trigger};
use crate::kernel::types::VenueId;

/// Text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no fault: {why}; write KIND[@VENUE[/PATTERN]][:KEY=VALUE]…, such as drop-depth:7, \
     stall@bybit-linear/orderbook.*:at=10s:for=5s or status@binance/depth:code=503:p=0.1"
)]
pub struct FaultError {
    text: String,
    why: String,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|why| FaultError {
            text: text.to_owned(),
            why,
        })
    }
}

/// Values that belong to the kind, before it is known which of them it wants.
#[derive(Default)]
struct Extras {
    by: Option<Duration>,
    code: Option<u16>,
    retry: Option<u32>,
    notice: Option<Duration>,
    after: Option<Duration>,
}

fn parse(text: &str) -> Result<Fault, String> {
    let end = text.find(['@', ':']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let (target, options) = match rest.strip_prefix('@') {
        Some(rest) => rest.split_once(':').unwrap_or((rest, "")),
        None => ("", rest.strip_prefix(':').unwrap_or_default()),
    };
    let mut fault = Fault {
        target: parse_target(target)?,
        ..Fault::new(FaultKind::Drop)
    };
    let mut extras = Extras::default();
    for option in options.split(':').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some((key, value)) => set(&mut fault, &mut extras, key, value)?,
            None if matches!(name, "drop-depth" | "cut") => {
                fault.trigger = Trigger::Frame(counting(option)?);
            }
            None => return Err(format!("{option:?} is no KEY=VALUE")),
        }
    }
    fault.kind = kind(name, &extras)?;
    if text.ends_with(':') {
        return Err("something is missing behind the last colon".to_owned());
    }
    Ok(fault)
}

fn kind(name: &str, extras: &Extras) -> Result<FaultKind, String> {
    let need = |what: &str| format!("{name} needs {what}");
    let notice = extras.notice.unwrap_or(Duration::from_secs(10));
    Ok(match name {
        "drop" => FaultKind::Drop,
        "duplicate" => FaultKind::Duplicate,
        "reorder" => FaultKind::Reorder,
        "delay" => FaultKind::Delay(extras.by.ok_or_else(|| need("by=DURATION"))?),
        "stall" => FaultKind::Stall,
        "truncate" => FaultKind::Truncate,
        "flip-bit" => FaultKind::FlipBit,
        "drop-depth" => FaultKind::DropDepth,
        "cut" => FaultKind::Cut,
        "close" => FaultKind::Close(extras.code.unwrap_or(1001)),
        "deaf" => FaultKind::Deaf,
        "mute" => FaultKind::Mute,
        "shutdown" => FaultKind::Shutdown(notice),
        "restart" => FaultKind::Restart,
        "resend" => FaultKind::Resend,
        "silence" => FaultKind::Silence,
        "life" => FaultKind::Life {
            after: extras.after.ok_or_else(|| need("after=DURATION"))?,
            notice,
        },
        "status" => FaultKind::Status {
            code: extras.code.ok_or_else(|| need("code=STATUS"))?,
            retry_after: extras.retry,
        },
        _ => {
            return Err(
                "there are drop, duplicate, reorder, delay, stall, truncate, flip-bit, \
                        drop-depth, cut, close, deaf, mute, shutdown, restart, resend, silence, life \
                        and status"
                    .to_owned(),
            );
        }
    })
}

fn parse_target(text: &str) -> Result<Target, String> {
    let (market, name) = match text.split_once('/') {
        Some((market, name)) => (market, Some(name)),
        None => (text, None),
    };
    let market = match market {
        "" | "*" => None,
        venue => {
            let venue: VenueId = venue.parse().map_err(|e| format!("{e}"))?;
            Some(MarketKind::of(venue))
        }
    };
    Ok(Target {
        market,
        name: name.map(Pattern::new),
        connection: None,
    })
}

fn set(fault: &mut Fault, extras: &mut Extras, key: &str, value: &str) -> Result<(), String> {
    match key {
        "n" => fault.trigger = Trigger::Nth(counting(value)?),
        "at" => fault.trigger = Trigger::At(duration(value)?),
        "p" => match value.parse::<f64>() {
            Ok(chance) if chance > 0.0 && chance <= 1.0 => fault.trigger = Trigger::Rate(chance),
            _ => return Err(format!("p={value}: a probability is above 0 and at most 1")),
        },
        "count" => fault.count = Some(counting(value)?),
        "for" => fault.lasts = Some(duration(value)?),
        "client" => fault.target.connection = Some(counting(value)?),
        "by" => extras.by = Some(duration(value)?),
        "notice" => extras.notice = Some(duration(value)?),
        "after" => extras.after = Some(duration(value)?),
        "retry" => {
            let seconds = value
                .parse()
                .map_err(|_| format!("retry={value}: write seconds"))?;
            extras.retry = Some(seconds);
        }
        "code" => match value.parse() {
            Ok(code) if (400..=599).contains(&code) || (1000..=4999).contains(&code) => {
                extras.code = Some(code);
            }
            _ => return Err(format!("code={value}: an HTTP status or a close code")),
        },
        _ => {
            return Err(format!(
                "unknown key {key:?}: there are n, at, p, count, for, client, by, notice, after, \
                 retry and code"
            ));
        }
    }
    Ok(())
}

fn counting(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("{text:?} is no number from 1")),
    }
}

/// `250ms`, `3s`, `2m`, `24h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 250ms, 3s, 2m or 24h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    // A century, so that it fits nanoseconds everywhere.
    ms.filter(|ms| *ms <= 3_155_760_000_000)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// A duration in the largest unit that shows it.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
            if ms > 0 && ms.is_multiple_of(unit) {
                return write!(f, "{}{name}", ms / unit);
            }
        }
        write!(f, "{ms}ms")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        let Target {
            market,
            name,
            connection,
        } = &self.target;
        if market.is_some() || name.is_some() {
            f.write_str("@")?;
            if let Some(market) = market {
                write!(f, "{market}")?;
            }
            if let Some(name) = name {
                write!(f, "/{}", name.0)?;
            }
        }
        match self.trigger {
            Trigger::Now => {}
            Trigger::Frame(n) => write!(f, ":{n}")?,
            Trigger::Nth(n) => write!(f, ":n={n}")?,
            Trigger::At(time) => write!(f, ":at={}", Short(time))?,
            Trigger::Rate(chance) => write!(f, ":p={chance}")?,
        }
        if let Some(count) = self.count {
            write!(f, ":count={count}")?;
        }
        if let Some(lasts) = self.lasts {
            write!(f, ":for={}", Short(lasts))?;
        }
        if let Some(connection) = connection {
            write!(f, ":client={connection}")?;
        }
        match self.kind {
            FaultKind::Delay(by) => write!(f, ":by={}", Short(by)),
            FaultKind::Close(code) => write!(f, ":code={code}"),
            FaultKind::Shutdown(notice) => write!(f, ":notice={}", Short(notice)),
            FaultKind::Life { after, notice } => {
                write!(f, ":after={}:notice={}", Short(after), Short(notice))
            }
            FaultKind::Status { code, retry_after } => {
                write!(f, ":code={code}")?;
                retry_after.map_or(Ok(()), |seconds| write!(f, ":retry={seconds}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for text in [
            "drop-depth:7",
            "cut:1000",
            "cut",
            "drop@bybit-linear/orderbook.50.*:n=3:count=2",
            "duplicate@/btcusdt@depth@100ms:p=0.25",
            "reorder:n=1",
            "delay@binance-usdm:at=90s:for=2s:by=250ms",
            "stall@binance/btcusdt@depth*:for=1h",
            "truncate:n=2",
            "flip-bit:p=0.001",
            "close@bybit-spot:n=5:code=1006",
            "deaf:for=1m:client=2",
            "mute",
            "shutdown:notice=10s",
            "restart@bybit-linear:at=5s:for=3s",
            "resend@bybit-linear/orderbook.*",
            "silence@binance-usdm/*@aggTrade",
            "life@binance:after=24h:notice=10m",
            "status@binance/depth:n=2:code=429:retry=3",
        ] {
            let fault: Fault = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(fault.to_string(), text);
        }
        assert_eq!("drop-depth:7".parse(), Ok(Fault::drop_depth(7)));
        assert_eq!("cut:9".parse(), Ok(Fault::cut_behind(9)));
        let short: Fault = "delay@binance:by=1s".parse().expect("fault");
        let typed = Fault::new(FaultKind::Delay(Duration::from_secs(1))).on(MarketKind::Spot, "");
        assert_eq!(short, typed);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "cut:",
            "cut:0",
            "cut:-1",
            "burn:3",
            "drop-depth:",
            "drop:7",
            "drop@kraken",
            "drop:p=0",
            "drop:p=2",
            "drop:p=NaN",
            "drop:n=0",
            "drop:color=red",
            "drop:for=3",
            "drop:for=3d",
            "drop:for=99999999999h",
            "delay",
            "status:code=200",
            "status",
            "life",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
