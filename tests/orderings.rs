//! The bell under every execution that weak memory orderings allow one producer and one sleeper: the very
//! file of the program, compiled against a checker that knows stores which others see late. Without the
//! fences, it finds the lost wake-up; a sleep has no end of its own here, so that it is a deadlock.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};

/// The checker's primitives under the names that the program's file asks for.
mod sync {
    use std::time::Duration;

    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(super) use loom::thread::{Thread, current};
    pub(super) use std::sync::OnceLock; // set once by its only writer, never waited for

    pub(super) fn fence(order: Ordering) {
        if super::FENCED.get() {
            loom::sync::atomic::fence(order);
        }
    }

    pub(super) fn park_timeout(_: Duration) {
        loom::thread::park();
    }
}

#[path = "../src/runtime/bell.rs"]
#[expect(unreachable_pub, reason = "a public file of the program")]
mod bell;

use bell::Bell;

thread_local! {
    /// Whether fences are fences. The checker runs all threads of a model on the thread of its test.
    static FENCED: Cell<bool> = const { Cell::new(true) };
}

fn the_work_is_seen() {
    let bell = Arc::new(Bell::default());
    let queue = Arc::new(AtomicUsize::new(0));
    let producer = loom::thread::spawn({
        let (bell, queue) = (Arc::clone(&bell), Arc::clone(&queue));
        move || {
            queue.store(1, Ordering::Release);
            bell.ring();
        }
    });
    bell.adopt();
    while queue.load(Ordering::Acquire) == 0 {
        bell.wait(Duration::MAX, || queue.load(Ordering::Acquire) > 0);
    }
    producer.join().expect("the producer");
}

#[test]
fn no_wake_up_is_lost_under_weak_orderings() {
    loom::model(the_work_is_seen);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fences_a_wake_up_is_lost() {
    FENCED.set(false);
    loom::model(the_work_is_seen);
}
