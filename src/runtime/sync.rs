//! The primitives below our own lock-free protocols ([`super::bell`], [`super::lost`]), in one place:
//! `tests/models.rs` and `tests/orderings.rs` compile those very files against the primitives of a
//! checker, which has a module of this name.

pub(super) use std::sync::OnceLock;
pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};
pub(super) use std::thread::{Thread, current, park_timeout};
