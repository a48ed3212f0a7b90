//! What callers may do.

/// What a route asks of its callers; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing: whether the daemon works is no secret.
    Open,
    /// To look.
    Read,
    /// To place and cancel orders, and to halt trading.
    Trade,
    /// To let trading go on after a halt.
    Admin,
}
