//! The commands that talk to a running daemon: what is typed, as the request that it means. What a
//! value may be is the daemon's to judge.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use crate::client::Ask;
use crate::json::Json;

/// Where the daemon is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct ServerArgs {
    /// Address of the daemon [default: $HEAN__HTTP__LISTEN, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub server: Option<SocketAddr>,
}

/// `buy` or `sell`, long or short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "each says what it is called")]
pub enum PositionSideArg {
    Both,
    Long,
    Short,
}

/// Which price sets an order off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "each says what it is called")]
pub enum TriggerByArg {
    Last,
    Mark,
    Index,
}

/// Side of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "each says what it is called")]
pub enum SideArg {
    Buy,
    Sell,
}

/// Flags of `buy` and `sell`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct OrderArgs {
    /// What to trade, such as BTCUSDT or bybit-linear:BTCUSDT
    #[arg(value_name = "SYMBOL")]
    pub symbol: String,
    /// How much, in the base asset
    #[arg(value_name = "QUANTITY", required_unless_present_any = ["quote", "close_position"])]
    pub quantity: Option<String>,
    /// How much, in the quote asset
    #[arg(long, value_name = "AMOUNT", conflicts_with_all = ["quantity", "close_position"])]
    pub quote: Option<String>,
    /// The whole position, however large it is then
    #[arg(long, conflicts_with = "quantity")]
    pub close_position: bool,
    /// Limit price [default: at the market]
    #[arg(long, value_name = "PRICE")]
    pub limit: Option<String>,
    /// Waits until the price has moved against us to this
    #[arg(long, value_name = "PRICE")]
    pub stop: Option<String>,
    /// Waits until the price has moved in our favour to this
    #[arg(long, value_name = "PRICE", conflicts_with = "stop")]
    pub take_profit_at: Option<String>,
    /// Waits until the price has come back from its best by so many percent
    #[arg(long, value_name = "PERCENT", conflicts_with_all = ["limit", "stop", "take_profit_at"])]
    pub trail: Option<String>,
    /// The best price counts from here on
    #[arg(long, value_name = "PRICE", requires = "trail")]
    pub activation: Option<String>,
    /// Which price sets it, and its exits, off [default: last]
    #[arg(long, value_enum)]
    pub trigger_by: Option<TriggerByArg>,
    /// Bracket: leave with a profit there, at a limit or at the market
    #[arg(long, value_name = "TRIGGER[:LIMIT]")]
    pub take_profit: Option<String>,
    /// Bracket: leave with a loss there, at a limit or at the market
    #[arg(long, value_name = "TRIGGER[:LIMIT]")]
    pub stop_loss: Option<String>,
    /// OCO: a stop beside the limit order, of which one cancels the other
    #[arg(long, value_name = "TRIGGER[:LIMIT]", requires = "limit",
          conflicts_with_all = ["stop", "take_profit_at", "trail", "take_profit", "stop_loss", "close_position"])]
    pub oco_stop: Option<String>,
    /// GTC, IOC, FOK or GTD
    #[arg(long, value_name = "GTC|IOC|FOK|GTD")]
    pub time_in_force: Option<String>,
    /// End of a GTD order, in milliseconds since the epoch
    #[arg(long, value_name = "MS")]
    pub expires: Option<String>,
    /// Refused rather than taking liquidity
    #[arg(long)]
    pub post_only: bool,
    /// May only reduce a position
    #[arg(long)]
    pub reduce_only: bool,
    /// Which position of an account in hedge mode
    #[arg(long, value_enum)]
    pub position_side: Option<PositionSideArg>,
    /// The strategy that it is booked on
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// The same again places no second order
    #[arg(long, value_name = "ID")]
    pub client_order_id: Option<String>,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

/// Flags of `amend`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(id = "change", required = true, multiple = true, args = ["price", "stop_price", "quantity"])]
pub struct AmendArgs {
    /// Which order
    #[arg(value_name = "ORDER")]
    pub order: u64,
    /// New limit price
    #[arg(long, value_name = "PRICE")]
    pub price: Option<String>,
    /// New trigger price
    #[arg(long, value_name = "PRICE")]
    pub stop_price: Option<String>,
    /// New quantity, with what is executed
    #[arg(long, value_name = "QUANTITY")]
    pub quantity: Option<String>,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

/// Flags of `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CancelArgs {
    /// Which order
    #[arg(value_name = "ORDER")]
    pub order: u64,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

/// Flags of `cancel-all`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CancelAllArgs {
    /// Those of this instrument
    #[arg(value_name = "SYMBOL")]
    pub symbol: Option<String>,
    /// Those of this side
    #[arg(long, value_enum)]
    pub side: Option<SideArg>,
    /// Those of this strategy
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

/// Flags of `close`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CloseArgs {
    /// Position in which instrument
    #[arg(value_name = "SYMBOL")]
    pub symbol: String,
    /// Which position of an account in hedge mode
    #[arg(long, value_enum)]
    pub position_side: Option<PositionSideArg>,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

/// Flags of `why`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WhyArgs {
    /// Which strategy
    #[arg(value_name = "NAME")]
    pub strategy: String,
    /// On this instrument [default: all]
    #[arg(value_name = "SYMBOL")]
    pub symbol: Option<String>,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

/// Flags of `halt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct HaltArgs {
    /// Also close every position at the market [default: risk.halt_flattens]
    #[arg(long, conflicts_with = "keep")]
    pub flatten: bool,
    /// Keep positions
    #[arg(long)]
    pub keep: bool,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

impl OrderArgs {
    /// The request. Decimals go as text, so no digit is lost.
    pub fn ask(&self, side: SideArg) -> Ask {
        let mut json = Json::new(false);
        json.object(|j| {
            let mut text = |name: &str, value: Option<&str>| {
                if let Some(value) = value {
                    j.key(name).text(value);
                }
            };
            text("symbol", Some(&self.symbol));
            text("side", Some(&name_of(&side)));
            text("type", Some(self.kind()));
            text("quantity", self.quantity.as_deref());
            text("quote_quantity", self.quote.as_deref());
            if self.oco_stop.is_none() {
                text("price", self.limit.as_deref());
            }
            let stop = self.stop.as_ref().or(self.take_profit_at.as_ref());
            text("stop_price", stop.map(String::as_str));
            text("trail_percent", self.trail.as_deref());
            text("activation_price", self.activation.as_deref());
            text(
                "trigger_by",
                self.trigger_by.as_ref().map(name_of).as_deref(),
            );
            text("time_in_force", self.time_in_force.as_deref());
            text("expires", self.expires.as_deref());
            text(
                "position_side",
                self.position_side.as_ref().map(name_of).as_deref(),
            );
            text("strategy", self.strategy.as_deref());
            text("client_order_id", self.client_order_id.as_deref());
            for (name, set) in [
                ("post_only", self.post_only),
                ("reduce_only", self.reduce_only),
                ("close_position", self.close_position),
            ] {
                if set {
                    j.key(name).bool(true);
                }
            }
            for (name, exit) in [
                ("take_profit", &self.take_profit),
                ("stop_loss", &self.stop_loss),
            ] {
                if let Some(exit) = exit {
                    j.key(name)
                        .object(|j| pair(j, exit, "trigger_price", "price"));
                }
            }
            if let (Some(stop), Some(limit)) = (&self.oco_stop, &self.limit) {
                j.key("oco").object(|j| {
                    j.key("price").text(limit);
                    pair(j, stop, "stop_price", "stop_limit_price");
                });
            }
        });
        Ask {
            method: "POST",
            target: "/api/v1/orders".to_owned(),
            body: Some(json.into_bytes()),
        }
    }

    fn kind(&self) -> &'static str {
        let limit = self.limit.is_some();
        match (&self.stop, &self.take_profit_at, &self.trail) {
            (_, _, Some(_)) => "trailing_stop",
            (Some(_), _, _) if limit => "stop_limit",
            (Some(_), _, _) => "stop_market",
            (_, Some(_), _) if limit => "take_profit_limit",
            (_, Some(_), _) => "take_profit_market",
            _ if limit => "limit",
            _ => "market",
        }
    }
}

impl AmendArgs {
    /// The request.
    pub fn ask(&self) -> Ask {
        let mut json = Json::new(false);
        json.object(|j| {
            for (name, value) in [
                ("price", &self.price),
                ("stop_price", &self.stop_price),
                ("quantity", &self.quantity),
            ] {
                if let Some(value) = value {
                    j.key(name).text(value);
                }
            }
        });
        Ask {
            method: "PATCH",
            target: format!("/api/v1/orders/{}", self.order),
            body: Some(json.into_bytes()),
        }
    }
}

impl CancelArgs {
    /// The request.
    pub fn ask(&self) -> Ask {
        Ask::plain("DELETE", format!("/api/v1/orders/{}", self.order))
    }
}

impl CancelAllArgs {
    /// The request.
    pub fn ask(&self) -> Ask {
        let side = self.side.as_ref().map(name_of);
        let parameters: Vec<String> = [
            ("symbol", self.symbol.as_deref()),
            ("side", side.as_deref()),
            ("strategy", self.strategy.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))))
        .collect();
        let mark = if parameters.is_empty() { "" } else { "?" };
        let target = format!("/api/v1/orders{mark}{}", parameters.join("&"));
        Ask::plain("DELETE", target)
    }
}

impl CloseArgs {
    /// The request.
    pub fn ask(&self) -> Ask {
        let side = self.position_side.as_ref().map(name_of);
        let query = side.map_or_else(String::new, |side| format!("?position_side={side}"));
        let symbol = encoded(&self.symbol);
        Ask::plain("POST", format!("/api/v1/positions/{symbol}/close{query}"))
    }
}

impl WhyArgs {
    /// The request.
    pub fn ask(&self) -> Ask {
        let symbol = self.symbol.as_deref();
        let query = symbol.map_or_else(String::new, |s| format!("?symbol={}", encoded(s)));
        let name = encoded(&self.strategy);
        Ask::plain("GET", format!("/api/v1/strategies/{name}/why{query}"))
    }
}

impl HaltArgs {
    /// The request.
    pub fn ask(&self) -> Ask {
        let body = match (self.flatten, self.keep) {
            (true, _) => Some(r#"{"flatten":true}"#.into()),
            (false, true) => Some(r#"{"flatten":false}"#.into()),
            (false, false) => None,
        };
        Ask {
            method: "POST",
            target: "/api/v1/halt".to_owned(),
            body,
        }
    }
}

/// `FIRST` or `FIRST:SECOND` as two fields.
fn pair(json: &mut Json, text: &str, first: &str, second: &str) {
    let (one, two) = match text.split_once(':') {
        Some((one, two)) => (one, Some(two)),
        None => (text, None),
    };
    json.key(first).text(one);
    if let Some(two) = two {
        json.key(second).text(two);
    }
}

/// What is typed for a value.
fn name_of(value: &impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or_else(String::new, |name| name.get_name().to_owned())
}

/// For a path or a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                for half in [byte >> 4, byte & 15] {
                    let digit = char::from_digit(u32::from(half), 16).unwrap_or('0');
                    out.push(digit.to_ascii_uppercase());
                }
            }
        }
    }
    out
}
