//! The shell around the kernel: the only threads, the only clock, the only spawn.

pub mod clock;
pub mod kernel_thread;
pub mod mailbox;
pub mod observe;
pub mod supervise;
