//! Whose data was dropped because a queue was full: a drop is never silent.
//!
//! A sender marks the instrument first and then that there is any; the taker takes them the other way
//! round. What it misses of a mark is still there the next time.

use super::sync::{AtomicBool, Ordering};

/// A mark by instrument, and one for all of them.
#[derive(Debug)]
pub(super) struct LostMarks {
    each: Box<[AtomicBool]>,
    any: AtomicBool,
}

impl LostMarks {
    /// For so many instruments.
    pub(super) fn new(instruments: usize) -> Self {
        Self {
            each: (0..instruments).map(|_| AtomicBool::new(false)).collect(),
            any: AtomicBool::new(false),
        }
    }

    /// Data of the instrument with this index was dropped.
    pub(super) fn mark(&self, index: usize) {
        if let Some(lost) = self.each.get(index) {
            lost.store(true, Ordering::Release);
            self.any.store(true, Ordering::Release);
        }
    }

    /// Whether there may be a mark.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Takes the marks away and names their instruments.
    pub(super) fn take(&self, mut each: impl FnMut(u16)) {
        if !self.any.swap(false, Ordering::AcqRel) {
            return;
        }
        for (index, lost) in (0_u16..).zip(self.each.iter()) {
            if lost.swap(false, Ordering::AcqRel) {
                each(index);
            }
        }
    }
}
