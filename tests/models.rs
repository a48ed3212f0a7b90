//! Our own lock-free protocols under schedules that a checker chooses: the very files of the program,
//! compiled against the checker's primitives. The checker knows no weak orderings (every operation is
//! sequentially consistent); `tests/orderings.rs` has those.
//!
//! What is not ours is a stand-in: a counter for a queue. A lost wake-up is a deadlock here, because a
//! sleep has no end of its own. Wrong twins show that the models can fail.

use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

/// The checker's primitives under the names that the program's files ask for.
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicBool, Ordering, fence};
    pub(super) use shuttle::thread::{Thread, current, park_timeout};
    pub(super) use std::sync::OnceLock; // set once by its only writer, never waited for // without a time-out
}

#[path = "../src/runtime/bell.rs"]
#[expect(unreachable_pub, reason = "a public file of the program")]
mod bell;
#[path = "../src/runtime/lost.rs"]
mod lost;

use bell::Bell;
use lost::LostMarks;

const SCHEDULES: usize = 3_000;
/// Steps that the second kind of schedule reorders.
const DEPTH: usize = 3;
const PRODUCERS: usize = 2;
const EACH: usize = 2;

/// Looks at random schedules, then at such with few preemptions at places that matter.
fn check(model: fn()) {
    shuttle::check_random(model, SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, DEPTH);
}

/// What the model needs of a bell.
trait Wakes: Default + Send + Sync + 'static {
    fn adopt(&self);
    fn ring(&self);
    fn wait(&self, ready: impl Fn() -> bool);
}

impl Wakes for Bell {
    fn adopt(&self) {
        Bell::adopt(self);
    }

    fn ring(&self) {
        Bell::ring(self);
    }

    fn wait(&self, ready: impl Fn() -> bool) {
        Bell::wait(self, Duration::MAX, ready);
    }
}

/// Two producers push and ring; one sleeper takes all and ends.
fn all_work_is_seen<B: Wakes>() {
    let bell = Arc::new(B::default());
    let queue = Arc::new(AtomicUsize::new(0));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let (bell, queue) = (Arc::clone(&bell), Arc::clone(&queue));
            thread::spawn(move || {
                for _ in 0..EACH {
                    queue.fetch_add(1, Ordering::Release);
                    bell.ring();
                }
            })
        })
        .collect();
    bell.adopt();
    let mut seen = 0;
    while seen < PRODUCERS * EACH {
        seen += queue.swap(0, Ordering::Acquire);
        if seen < PRODUCERS * EACH {
            bell.wait(|| queue.load(Ordering::Acquire) > 0);
        }
    }
    for producer in producers {
        producer.join().expect("a producer");
    }
}

#[test]
fn no_wake_up_is_lost() {
    check(all_work_is_seen::<Bell>);
}

/// Sleeps without a second look for work.
#[derive(Default)]
struct NoSecondLook(Bell);

impl Wakes for NoSecondLook {
    fn adopt(&self) {
        self.0.adopt();
    }

    fn ring(&self) {
        self.0.ring();
    }

    fn wait(&self, _: impl Fn() -> bool) {
        self.0.wait(Duration::MAX, || false);
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_bell_without_the_second_look_loses_a_wake_up() {
    check(all_work_is_seen::<NoSecondLook>);
}

/// Looks for work before it says that it sleeps, which is how it may happen without the sleeper's fence.
#[derive(Default)]
struct LooksFirst(Bell);

impl Wakes for LooksFirst {
    fn adopt(&self) {
        self.0.adopt();
    }

    fn ring(&self) {
        self.0.ring();
    }

    fn wait(&self, ready: impl Fn() -> bool) {
        let ready = ready();
        self.0.wait(Duration::MAX, || ready);
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_bell_that_looks_first_loses_a_wake_up() {
    check(all_work_is_seen::<LooksFirst>);
}

/// What the model needs of lost marks.
trait Marks: Send + Sync + 'static {
    fn new(instruments: usize) -> Self;
    fn mark(&self, index: usize);
    fn any(&self) -> bool;
    fn take(&self, each: impl FnMut(u16));
}

impl Marks for LostMarks {
    fn new(instruments: usize) -> Self {
        LostMarks::new(instruments)
    }

    fn mark(&self, index: usize) {
        LostMarks::mark(self, index);
    }

    fn any(&self) -> bool {
        LostMarks::any(self)
    }

    fn take(&self, each: impl FnMut(u16)) {
        LostMarks::take(self, each);
    }
}

/// Two senders drop data of two instruments, each of both; the taker takes while they do. After a drop
/// there is a taking that names the instrument.
fn no_drop_is_silent<M: Marks>() {
    const INSTRUMENTS: usize = 2;
    let marks = Arc::new(M::new(INSTRUMENTS));
    let dropped: Arc<[AtomicUsize; INSTRUMENTS]> = Arc::default();
    let senders: Vec<_> = (0..2)
        .map(|sender| {
            let (marks, dropped) = (Arc::clone(&marks), Arc::clone(&dropped));
            thread::spawn(move || {
                for n in 0..INSTRUMENTS {
                    let instrument = (sender + n) % INSTRUMENTS;
                    dropped[instrument].fetch_add(1, Ordering::SeqCst);
                    marks.mark(instrument);
                }
            })
        })
        .collect();
    // How many drops of each instrument the taker knows to be covered by what it was told.
    let mut covered = [0; INSTRUMENTS];
    let mut take = || {
        marks.take(|index| {
            let index = usize::from(index);
            covered[index] = dropped[index].load(Ordering::SeqCst);
        });
    };
    take();
    take();
    for sender in senders {
        sender.join().expect("a sender");
    }
    while marks.any() {
        take();
    }
    let dropped: Vec<usize> = dropped.iter().map(|n| n.load(Ordering::SeqCst)).collect();
    assert_eq!(dropped, covered, "a silent drop");
}

#[test]
fn no_drop_of_market_data_is_silent() {
    check(no_drop_is_silent::<LostMarks>);
}

/// Says that there is any before it says which.
struct AnyFirst {
    each: Vec<AtomicBool>,
    any: AtomicBool,
}

impl Marks for AnyFirst {
    fn new(instruments: usize) -> Self {
        Self {
            each: (0..instruments).map(|_| AtomicBool::new(false)).collect(),
            any: AtomicBool::new(false),
        }
    }

    fn mark(&self, index: usize) {
        self.any.store(true, Ordering::Release);
        self.each[index].store(true, Ordering::Release);
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn take(&self, mut each: impl FnMut(u16)) {
        if !self.any.swap(false, Ordering::AcqRel) {
            return;
        }
        for (index, lost) in (0_u16..).zip(&self.each) {
            if lost.swap(false, Ordering::AcqRel) {
                each(index);
            }
        }
    }
}

#[test]
#[should_panic(expected = "a silent drop")]
fn marks_in_the_wrong_order_drop_silently() {
    check(no_drop_is_silent::<AnyFirst>);
}
