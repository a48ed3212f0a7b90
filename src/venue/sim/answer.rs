//! An HTTP answer before it is one: status, JSON and the headers that matter.

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// JSON.
    pub(super) body: String,
    /// Further headers.
    pub(super) headers: Vec<(&'static str, u64)>,
}

impl Answer {
    /// A good answer.
    pub(super) fn ok(body: String) -> Self {
        Self::with(200, body)
    }

    /// An answer of any status.
    pub(super) fn with(status: u16, body: String) -> Self {
        Self {
            status,
            body,
            headers: Vec::new(),
        }
    }

    /// The same answer with a header.
    pub(super) fn header(mut self, name: &'static str, value: u64) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A refusal in Binance's form.
    pub(super) fn refusal(status: u16, code: i32, words: &str) -> Self {
        let words = serde_json::Value::from(words);
        Self::with(status, format!("{{\"code\":{code},\"msg\":{words}}}"))
    }

    /// The answer to a method other than GET.
    pub(super) fn method(method: &str) -> Self {
        let words = format!("Request method '{method}' is not supported.");
        Self::refusal(405, -1000, &words)
    }

    /// The answer to a broken WebSocket handshake.
    pub(super) fn handshake(words: &str) -> Self {
        Self::refusal(400, -1000, words)
    }

    /// The answer to a path that leads nowhere.
    pub(super) fn nowhere(path: &str) -> Self {
        let words = format!("no endpoint {path} in the simulated venue");
        Self::refusal(404, -1000, &words)
    }
}
