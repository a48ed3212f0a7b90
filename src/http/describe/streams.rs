//! Events as they come.

use hyper::StatusCode;

use super::super::problem::Code;
use super::super::schema::text;
use super::Docs;

pub(in crate::http) fn events() -> Docs {
    Docs::new(
        "follow_events",
        "A snapshot of each topic, then updates, for as long as the client stays.",
        text(""),
    )
    .only_as("text/event-stream")
    .problems(&[
        Code::UnknownTopic,
        Code::UnknownSymbol,
        Code::UnknownInterval,
        Code::StreamLimit,
    ])
}

pub(in crate::http) fn socket() -> Docs {
    // A token in the header is judged here, as the route itself asks for none.
    let mut docs = Docs::new("open_socket", "", text("")).problems(&[
        Code::NotWebSocket,
        Code::StreamLimit,
        Code::TokenInvalid,
        Code::TokenExpired,
        Code::TooManyAttempts,
        Code::ScopeMissing,
    ]);
    docs.answers.clear();
    docs.switching(
        StatusCode::SWITCHING_PROTOCOLS,
        "The connection goes on as a WebSocket, on which requests and events are JSON texts.",
    )
}
