//! The shell around the kernel: the only threads, the only clock, the only spawn.

pub mod bell;
pub mod clock;
pub mod hangup;
pub mod kernel_thread;
mod lost;
pub mod mailbox;
pub mod observe;
pub mod order_feed;
pub mod supervise;
mod sync;
