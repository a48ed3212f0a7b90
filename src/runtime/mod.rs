//! The shell around the kernel: the only threads, the only clock, the only spawn.

pub mod clock;
pub mod mailbox;
