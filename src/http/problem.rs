//! Every error that the API can answer: RFC 9457 problem documents with a stable `code`.
//!
//! One table fixes code, status and title. A problem says what was wrong (`detail`) and what to do
//! (`hint`), and carries the numbers that matter as members of their own.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};

use super::reply::{Content, Reply};
use crate::json::Json;
use crate::kernel::risk::Refusal;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident, $title:literal;)*) => {
        /// The kinds of problems. The list is closed and the names never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The usual status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What it means.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// No `Host`, two of them, or one that is no host.
    BadHost = "bad_host", BAD_REQUEST, "The request does not name its host";
    /// A `Host` that is not on the allow-list.
    HostNotAllowed = "host_not_allowed", FORBIDDEN, "This host name is not served";
    /// An `Origin` that is not on the allow-list.
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, "Web pages of this origin may not call the API";
    /// A token is needed and the request has none.
    TokenMissing = "token_missing", UNAUTHORIZED, "A token is needed";
    /// No such token, or not any more.
    TokenInvalid = "token_invalid", UNAUTHORIZED, "The token is not valid";
    /// A token beyond its end.
    TokenExpired = "token_expired", UNAUTHORIZED, "The token has expired";
    /// A token of a lesser scope.
    ScopeMissing = "scope_missing", FORBIDDEN, "The token does not allow this";
    /// A token where logs keep it.
    TokenInUrl = "token_in_url", BAD_REQUEST, "Tokens do not belong in URLs";
    /// Too many failed attempts from one address.
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS, "Too many failed attempts";
    /// More requests than the rate allows.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// No such path.
    NotFound = "not_found", NOT_FOUND, "There is nothing at this path";
    /// The path exists, the method there does not.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This path does not take this method";
    /// A query parameter that the route does not know.
    UnknownParameter = "unknown_parameter", BAD_REQUEST, "Unknown query parameter";
    /// A query parameter given twice.
    DuplicateParameter = "duplicate_parameter", BAD_REQUEST, "Query parameter given twice";
    /// A query parameter with a value that it cannot have.
    InvalidParameter = "invalid_parameter", BAD_REQUEST, "Invalid query parameter";
    /// No such instrument.
    UnknownSymbol = "unknown_symbol", NOT_FOUND, "Unknown symbol";
    /// Candles of this interval are not kept.
    UnknownInterval = "unknown_interval", BAD_REQUEST, "No candles of this interval";
    /// No such order.
    UnknownOrder = "unknown_order", NOT_FOUND, "Unknown order";
    /// No such strategy.
    UnknownStrategy = "unknown_strategy", NOT_FOUND, "Unknown strategy";
    /// The answer has no form that the caller takes.
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE, "The answer does not come in this form";
    /// The body is said to be something else than JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The request body is not JSON";
    /// The body is larger than the limit.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The request body is too large";
    /// The body did not come in time.
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT, "The request body did not arrive in time";
    /// The body broke off.
    BodyIncomplete = "body_incomplete", BAD_REQUEST, "The request body is not complete";
    /// The body is no JSON object.
    InvalidJson = "invalid_json", BAD_REQUEST, "The request body is not a JSON object";
    /// A JSON field that is not part of the contract.
    UnknownField = "unknown_field", BAD_REQUEST, "Unknown field";
    /// A JSON field given twice.
    DuplicateField = "duplicate_field", BAD_REQUEST, "Field given twice";
    /// A JSON field that is needed.
    MissingField = "missing_field", BAD_REQUEST, "Missing field";
    /// A JSON field with a value that it cannot have.
    InvalidValue = "invalid_value", BAD_REQUEST, "Invalid value";
    /// Fields that do not go together.
    InvalidCombination = "invalid_combination", UNPROCESSABLE_ENTITY, "These fields do not go together";
    /// Part of the contract, but not of this build.
    Unsupported = "unsupported", UNPROCESSABLE_ENTITY, "Not supported by this version";
    /// A price off the instrument's tick grid.
    OffTick = "off_tick", UNPROCESSABLE_ENTITY, "The price is off the tick grid";
    /// A quantity off the instrument's lot grid.
    OffLot = "off_lot", UNPROCESSABLE_ENTITY, "The quantity is off the lot grid";
    /// Refused by risk; nothing was sent.
    RiskRefused = "risk_refused", UNPROCESSABLE_ENTITY, "Refused by risk";
    /// Refused by the venue.
    VenueRejected = "venue_rejected", UNPROCESSABLE_ENTITY, "Rejected by the venue";
    /// The idempotency key belongs to an order with another body.
    IdempotencyConflict = "idempotency_conflict", UNPROCESSABLE_ENTITY, "The client_order_id was used for another order";
    /// The order has ended.
    OrderDone = "order_done", CONFLICT, "The order has ended already";
    /// The order cannot be changed as it is.
    NotAmendable = "not_amendable", CONFLICT, "The order cannot be changed now";
    /// There is no such position.
    NoPosition = "no_position", NOT_FOUND, "There is no such position";
    /// The command queue is full, or the daemon is going down.
    Busy = "busy", SERVICE_UNAVAILABLE, "Too many commands are waiting";
    /// The kernel did not answer.
    NoAnswer = "no_answer", SERVICE_UNAVAILABLE, "No answer in time";
    /// A request for a WebSocket that is none.
    NotWebSocket = "not_a_websocket", UPGRADE_REQUIRED, "This is no handshake of a WebSocket";
    /// No such topic.
    UnknownTopic = "unknown_topic", NOT_FOUND, "Unknown topic";
    /// As many streams, or topics on one, as are allowed.
    StreamLimit = "stream_limit", SERVICE_UNAVAILABLE, "Too many streams or topics";
    /// A bug of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
}

/// A member of a problem document beside the standard ones.
#[derive(Debug)]
enum Member {
    Text(String),
    List(Vec<String>),
    Json(Vec<u8>),
}

/// An error on its way to the caller.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    status: StatusCode,
    detail: String,
    hint: Option<String>,
    members: Vec<(&'static str, Member)>,
    header: Option<(HeaderName, HeaderValue)>,
    close: bool,
}

impl Problem {
    /// A problem of kind `code`; `detail` says what was wrong, in a sentence.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            code,
            status: code.status(),
            detail: detail.into(),
            hint: None,
            members: Vec::new(),
            header: None,
            close: false,
        })
    }

    /// What risk said.
    pub(crate) fn refused(refusal: Box<Refusal>) -> Box<Self> {
        let text = refusal.to_string();
        let Refusal {
            rule,
            limit,
            value,
            hint,
        } = *refusal;
        let problem = Self::new(Code::RiskRefused, text)
            .member("rule", rule.name())
            .member("limit", limit)
            .member("value", value);
        if hint.is_empty() {
            problem
        } else {
            problem.hint(hint)
        }
    }

    /// What to do about it.
    pub(crate) fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// Another status than the usual one of this code.
    pub(crate) fn status(mut self: Box<Self>, status: StatusCode) -> Box<Self> {
        self.status = status;
        self
    }

    /// A member beside the standard ones.
    pub(crate) fn member(
        mut self: Box<Self>,
        name: &'static str,
        value: impl Into<String>,
    ) -> Box<Self> {
        self.members.push((name, Member::Text(value.into())));
        self
    }

    /// The same about a field of the object `parent`.
    pub(crate) fn within(mut self: Box<Self>, parent: &str) -> Box<Self> {
        self.detail = format!("{parent}: {}", self.detail);
        for (name, member) in &mut self.members {
            if let ("field", Member::Text(field)) = (*name, member) {
                *field = format!("{parent}.{field}");
            }
        }
        self
    }

    /// A member that is a list.
    pub(crate) fn list(mut self: Box<Self>, name: &'static str, values: Vec<String>) -> Box<Self> {
        self.members.push((name, Member::List(values)));
        self
    }

    /// A member that is a whole document.
    pub(crate) fn json(mut self: Box<Self>, name: &'static str, value: Vec<u8>) -> Box<Self> {
        self.members.push((name, Member::Json(value)));
        self
    }

    /// A header of the answer, such as `Allow`.
    pub(crate) fn header(mut self: Box<Self>, name: HeaderName, value: HeaderValue) -> Box<Self> {
        self.header = Some((name, value));
        self
    }

    /// Ends the connection after the answer: what follows on it cannot be trusted to be a request.
    pub(crate) fn close(mut self: Box<Self>) -> Box<Self> {
        self.close = true;
        self
    }

    /// The status that it is answered with.
    pub(crate) fn http_status(&self) -> StatusCode {
        self.status
    }

    /// Its kind.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The answer.
    pub(crate) fn into_reply(mut self) -> Reply {
        // What cannot be done now can be asked for again.
        if self.status == StatusCode::SERVICE_UNAVAILABLE && self.header.is_none() {
            self.header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
        }
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("type").text(&format!("/docs#{}", self.code.name()));
            j.key("title").text(self.code.title());
            j.key("status").int(self.status.as_u16());
            j.key("code").text(self.code.name());
            j.key("detail").text(&self.detail);
            if let Some(hint) = &self.hint {
                j.key("hint").text(hint);
            }
            for (name, member) in &self.members {
                j.key(name);
                match member {
                    Member::Text(text) => j.text(text),
                    Member::List(list) => j.array(|j| list.iter().for_each(|text| j.text(text))),
                    Member::Json(json) => j.raw(json),
                }
            }
        });
        Reply {
            status: self.status,
            content_type: "application/problem+json",
            body: Content::Whole(json.into_bytes().into()),
            header: self.header,
            close: self.close,
        }
    }
}

/// The names among `known` that `name` may have meant, nearest first, three at most.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    /// Longer names are not compared: the work grows with the product of the lengths.
    const LEN_MAX: usize = 64;
    if name.len() > LEN_MAX {
        return Vec::new();
    }
    let name = name.to_ascii_lowercase();
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .map(|known| {
            let distance = strsim::damerau_levenshtein(&name, &known.to_ascii_lowercase());
            (distance, known)
        })
        .filter(|(distance, known)| *distance <= (known.len().max(name.len()) / 2).max(1))
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().take(3).map(|(_, known)| known).collect()
}

/// `a`, `a or b`, `a, b or c`; `None` for an empty list.
pub(crate) fn either(names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some((*one).to_owned()),
        [first @ .., last] => Some(format!("{} or {last}", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_named() {
        let known = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEBTC"];
        assert_eq!(nearest("BTCUSD", known).first(), Some(&"BTCUSDT"));
        assert_eq!(nearest("ethusdt", known).first(), Some(&"ETHUSDT"));
        assert!(nearest("x", known).is_empty());
        assert!(nearest(&"B".repeat(65), known).is_empty());
    }

    #[test]
    fn a_list_reads_like_a_sentence() {
        assert_eq!(either(&[]), None);
        assert_eq!(either(&["a"]).as_deref(), Some("a"));
        assert_eq!(either(&["a", "b", "c"]).as_deref(), Some("a, b or c"));
    }
}
