//! What each route takes and answers, as its row of `ROUTES` names it. The API's description is made of this, and so is
//! the test that validates every answer.

pub(super) mod account;
pub(super) mod market;
pub(super) mod streams;
pub(super) mod system;
pub(super) mod trading;

use hyper::StatusCode;

use super::api::order_in::TYPES;
use super::params::STATUSES;
use super::problem::Code;
use super::schema::{Schema, choice, field, id, list, named, object, optional, text};
use crate::kernel::risk::RiskMode;
use crate::kernel::types::VenueId;
use crate::status::Mode;

/// How a daemon can trade.
const MODES: [Mode; 2] = [Mode::Observe, Mode::Paper];
/// What can pass.
const RISK_MODES: [RiskMode; 3] = [RiskMode::Normal, RiskMode::ReduceOnly, RiskMode::Halted];

/// The documentation of a route beside its row.
#[derive(Debug)]
pub(super) struct Docs {
    /// Its name in programs.
    pub(super) id: &'static str,
    /// The JSON that it takes, and whether it must be there.
    pub(super) body: Option<(Schema, bool)>,
    /// What it answers when all is well.
    pub(super) answers: Vec<Success>,
    /// What can be wrong, beside what every route can say.
    pub(super) problems: Vec<(StatusCode, Code)>,
}

/// An answer when all is well.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) status: StatusCode,
    pub(super) about: &'static str,
    /// By content type.
    pub(super) content: Vec<(&'static str, Schema)>,
    /// Headers of its own.
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

impl Docs {
    /// A route with one answer.
    pub(super) fn new(id: &'static str, about: &'static str, schema: Schema) -> Self {
        Self {
            id,
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
        }
        .answer(StatusCode::OK, about, schema)
    }

    /// One more answer, in JSON.
    pub(super) fn answer(
        mut self,
        status: StatusCode,
        about: &'static str,
        schema: Schema,
    ) -> Self {
        self.answers.push(Success {
            status,
            about,
            content: vec![("application/json", schema)],
            headers: Vec::new(),
        });
        self
    }

    /// The last answer has a header.
    pub(super) fn header(mut self, name: &'static str, about: &'static str) -> Self {
        if let Some(last) = self.answers.last_mut() {
            last.headers.push((name, about));
        }
        self
    }

    /// The last answer comes in another form too.
    pub(super) fn or_as(mut self, media: &'static str) -> Self {
        if let Some(last) = self.answers.last_mut() {
            last.content.push((media, text("")));
        }
        self
    }

    /// The last answer comes in this form only.
    pub(super) fn only_as(mut self, media: &'static str) -> Self {
        if let Some(last) = self.answers.last_mut() {
            last.content.clear();
        }
        self.or_as(media)
    }

    /// One more answer, without a body of its own.
    pub(super) fn switching(mut self, status: StatusCode, about: &'static str) -> Self {
        self.answers.push(Success {
            status,
            about,
            content: Vec::new(),
            headers: Vec::new(),
        });
        self
    }

    /// It takes JSON.
    pub(super) fn body(mut self, schema: Schema) -> Self {
        self.body = Some((schema, true));
        self
    }

    /// It takes JSON or nothing.
    pub(super) fn maybe_body(mut self, schema: Schema) -> Self {
        self.body = Some((schema, false));
        self
    }

    /// What can be wrong, with the usual status of each.
    pub(super) fn problems(mut self, codes: &[Code]) -> Self {
        self.problems
            .extend(codes.iter().map(|code| (code.status(), *code)));
        self
    }

    /// What can be wrong in a body that names things.
    pub(super) fn unprocessable(mut self, codes: &[Code]) -> Self {
        let all = codes.iter();
        self.problems
            .extend(all.map(|code| (StatusCode::UNPROCESSABLE_ENTITY, *code)));
        self
    }

    /// A command: it waits in a queue, and what answers it may be busy.
    pub(super) fn command(self) -> Self {
        self.problems(&[Code::Busy, Code::RiskRefused])
    }
}

/// A name and the schema that it stands for.
pub(super) type Component = (&'static str, fn() -> Schema);

/// Every schema that has a name.
pub(super) const COMPONENTS: &[Component] = &[
    ("Problem", problem),
    ("Venue", venue),
    ("Side", || {
        choice(
            &["buy", "sell"],
            "Bought or sold; of a trade, the taker's side.",
        )
    }),
    ("PositionSide", || {
        choice(
            &["both", "long", "short"],
            "Which position; both, but in hedge mode.",
        )
    }),
    ("Direction", || {
        choice(&["flat", "long", "short"], "Direction of a position.")
    }),
    ("OrderType", || choice(TYPES, "Type of an order.")),
    ("OrderStatus", order_status),
    ("TimeInForce", || {
        choice(&["GTC", "IOC", "FOK", "GTD"], "How long an order holds.")
    }),
    ("TriggerBy", || {
        choice(&["last", "mark", "index"], "Which price sets an order off.")
    }),
    ("MarginMode", || {
        choice(&["cross", "isolated"], "How a derivative is margined.")
    }),
    ("Ticker", market::ticker_schema),
    ("Liquidation", market::liquidation),
    ("OrderBook", market::orderbook_schema),
    ("Candle", market::candle),
    ("Trade", market::trade),
    ("Instrument", market::instrument),
    ("IndicatorSummary", market::summary),
    ("IndicatorValue", market::value),
    ("IndicatorSeries", market::series),
    ("OrderRequest", trading::order_request),
    ("Exit", trading::exit),
    ("Oco", trading::oco),
    ("AmendRequest", trading::amend_request),
    ("Order", trading::order),
    ("Unknown", trading::unknown),
    ("Cancelling", trading::cancelling),
    ("Fill", trading::fill),
    ("Position", account::position),
    ("MarginRequest", account::margin_request),
    ("Margin", account::margin_schema),
    ("Account", account::account_schema),
    ("EquityPoint", account::point),
    ("HaltRequest", account::halt_request),
    ("Risk", account::risk_schema),
    ("Strategy", account::strategy),
    ("Decision", account::decision),
    ("Health", system::health_schema),
    ("Feed", system::feed),
    ("Status", system::status_schema),
];

/// Members that name an instrument.
fn names() -> Vec<super::schema::Field> {
    vec![
        field("symbol", text("Symbol at its venue.")),
        field("venue", named("Venue")),
    ]
}

fn venue() -> Schema {
    choice(&VenueId::ALL.map(VenueId::name), "A venue.")
}

fn order_status() -> Schema {
    let states = STATUSES.iter().copied().filter(|state| *state != "open");
    choice(&states.collect::<Vec<_>>(), "State of an order.")
}

/// An object about an instrument.
fn about(about: &'static str, more: Vec<super::schema::Field>) -> Schema {
    let mut fields = names();
    fields.extend(more);
    object(fields, about)
}

/// RFC 9457.
fn problem() -> Schema {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    object(
        vec![
            field("type", text("Where the code is explained, on this server.")),
            field("title", text("What the code means.")),
            field("status", super::schema::int("The HTTP status.")),
            field(
                "code",
                choice(&codes, "The kind of problem; names never change."),
            ),
            field("detail", text("What was wrong here.")),
            optional("hint", text("What to do about it.")),
            optional(
                "field",
                text("The parameter, header or field of the body that it is about."),
            ),
            optional("scope", text("The scope that is needed.")),
            optional("nearest", list(text(""), "Names that may have been meant.")),
            optional("rule", text("The rule that said no.")),
            optional("limit", text("Its limit.")),
            optional("value", text("The value that it saw.")),
            optional("below", text("The nearest value below that would do.")),
            optional("above", text("The nearest value above that would do.")),
            optional("reason", text("Why an order cannot be changed.")),
            optional("order_id", id("The order that it is about.")),
            optional("order", named("Order")),
        ],
        "An error, as RFC 9457 has it.",
    )
}
