//! Which check starts next: the concurrency limits of a sweep, and the waiting lists behind them.
//!
//! A pure data structure. The time is an argument, and the caller starts the checks.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::group::Group;

/// Checks in flight, from their first packet to their write.
const CHECK_LIMIT: usize = 256;
/// Checks of one group that ask DNS at once, without the checks of holders.
const GROUP_LIMIT: usize = 10;
/// Checks that wait for one group.
const WAITING_LIMIT: usize = 50;
/// The scheduler asks for more checks while its queue is shorter than this.
const QUEUE_LIMIT: usize = 100;
/// How long a check whose group has no room keeps those behind it waiting.
const BLOCK_LIMIT: Duration = Duration::from_millis(100);

/// Starts checks oldest first, within a concurrency limit for all of them and one for each group.
///
/// A check whose group is at its limit moves to the group's waiting list. While that list is full too, the check blocks
/// the queue for at most 100 ms. Then it is skipped, and from then on so is every further check of the group that does
/// not fit, until the group is empty.
///
/// Memory is bounded: 25 groups can be at their limit at once, so that at most 1,250 checks wait, and the caller fills
/// the queue only while it [has room](Self::has_room).
#[derive(Debug)]
pub(crate) struct Scheduler<T> {
    /// Oldest first.
    queue: VecDeque<(Group, T)>,
    /// Since when the first check of the queue blocks it.
    blocked_since: Option<Instant>,
    /// Each of these groups has a check that asks DNS or is ready.
    groups: HashMap<Group, GroupState<T>>,
    /// These left a waiting list and already count against the limit of their group.
    ready: VecDeque<(Group, T)>,
    in_flight: usize,
}

#[derive(Debug)]
struct GroupState<T> {
    asking: usize,
    waiting: VecDeque<T>,
    skipping: bool,
}

/// What the scheduler's caller does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// Start this check.
    Start(Group, T),
    /// Leave this check to a later pass: its group has had no room for too long.
    Skip(T),
    /// Ask again after a push, a release or a finish, and at this time if there is one.
    Wait(Option<Instant>),
}

impl<T> Default for Scheduler<T> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            blocked_since: None,
            groups: HashMap::new(),
            ready: VecDeque::new(),
            in_flight: 0,
        }
    }
}

impl<T> Default for GroupState<T> {
    fn default() -> Self {
        Self {
            asking: 0,
            waiting: VecDeque::new(),
            skipping: false,
        }
    }
}

impl<T> Scheduler<T> {
    /// Adds a check behind all that were added before.
    pub(crate) fn push(&mut self, group: Group, check: T) {
        self.queue.push_back((group, check));
    }

    /// Whether the caller should push more checks.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_LIMIT
    }

    /// Checks that were pushed, and neither finished nor skipped yet.
    pub(crate) fn unfinished(&self) -> usize {
        let waiting = self.groups.values().map(|group| group.waiting.len());
        self.queue.len() + self.ready.len() + waiting.sum::<usize>() + self.in_flight
    }

    /// Decides about one check. To be called until it says [`Next::Wait`].
    pub(crate) fn next(&mut self, now: Instant) -> Next<T> {
        if self.in_flight == CHECK_LIMIT {
            return Next::Wait(None);
        }
        // Before the queue, because these are older.
        if let Some((group, check)) = self.ready.pop_front() {
            self.in_flight += 1;
            return Next::Start(group, check);
        }
        while let Some((name, check)) = self.queue.pop_front() {
            let group = self.groups.entry(name.clone()).or_default();
            if group.asking < GROUP_LIMIT {
                group.asking += 1;
                self.in_flight += 1;
                return Next::Start(name, check);
            }
            if group.waiting.len() < WAITING_LIMIT {
                group.waiting.push_back(check);
                self.blocked_since = None;
                continue;
            }
            if !group.skipping {
                let until = *self.blocked_since.get_or_insert(now) + BLOCK_LIMIT;
                if now < until {
                    self.queue.push_front((name, check));
                    return Next::Wait(Some(until));
                }
                group.skipping = true;
            }
            self.blocked_since = None;
            return Next::Skip(check);
        }
        Next::Wait(None)
    }

    /// A check that was started has asked DNS. The next one of its group may start.
    pub(crate) fn release(&mut self, name: Group) {
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        if let Some(check) = group.waiting.pop_front() {
            self.ready.push_back((name, check));
            return;
        }
        group.asking -= 1;
        if group.asking == 0 {
            self.groups.remove(&name);
        }
    }

    /// A check that was started and [released](Self::release) its group has ended.
    pub(crate) fn finish(&mut self) {
        self.in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn group(number: usize) -> Group {
        Group::new(&number.to_string())
    }

    /// Runs a scheduler and holds it to its rules. A check is its index in `pushed`.
    struct Model {
        scheduler: Scheduler<usize>,
        now: Instant,
        /// The group of each check.
        pushed: Vec<usize>,
        handed_out: BTreeSet<usize>,
        skipped: usize,
        finished: usize,
        /// The newest check of each group that was started.
        newest: HashMap<usize, usize>,
        /// The groups of the checks that ask DNS.
        asking: Vec<usize>,
        released: usize,
        /// The check that blocks the queue, and since when.
        blocked: Option<(usize, Instant)>,
        skipping: BTreeSet<usize>,
    }

    impl Model {
        fn new() -> Self {
            Self {
                scheduler: Scheduler::default(),
                now: Instant::now(),
                pushed: Vec::new(),
                handed_out: BTreeSet::new(),
                skipped: 0,
                finished: 0,
                newest: HashMap::new(),
                asking: Vec::new(),
                released: 0,
                blocked: None,
                skipping: BTreeSet::new(),
            }
        }

        fn push(&mut self, count: usize, of: usize) {
            for _ in 0..count {
                self.scheduler.push(group(of), self.pushed.len());
                self.pushed.push(of);
            }
        }

        /// Asks the scheduler until it says [`Next::Wait`].
        fn run(&mut self) -> Option<Instant> {
            loop {
                match self.scheduler.next(self.now) {
                    Next::Start(name, check) => {
                        let of = self.pushed[check];
                        assert_eq!(name, group(of));
                        assert!(self.handed_out.insert(check), "handed out twice");
                        let before = self.newest.insert(of, check);
                        assert!(before.is_none_or(|before| before < check), "oldest first");
                        self.asking.push(of);
                        assert!(self.asking(of) <= 10);
                        assert!(self.asking.len() + self.released <= 256);
                    }
                    Next::Skip(check) => {
                        assert!(self.handed_out.insert(check), "handed out twice");
                        self.skipped += 1;
                        let of = self.pushed[check];
                        assert_eq!(self.scheduler.groups[&group(of)].waiting.len(), 50);
                        if self.skipping.insert(of) {
                            let (blocking, since) = self.blocked.unwrap();
                            assert_eq!(blocking, check);
                            assert!(self.now - since >= Duration::from_millis(100));
                        }
                    }
                    Next::Wait(until) => {
                        if let Some(until) = until {
                            let blocking = self.scheduler.queue[0].1;
                            let blocked = self.blocked.filter(|(check, _)| *check == blocking);
                            let (_, since) = *self.blocked.insert(blocked.unwrap_or((blocking, self.now)));
                            assert_eq!(until - since, Duration::from_millis(100));
                            assert!(until > self.now);
                        }
                        self.check_memory();
                        return until;
                    }
                }
            }
        }

        fn asking(&self, of: usize) -> usize {
            self.asking.iter().filter(|group| **group == of).count()
        }

        fn waiting(&self) -> usize {
            let groups = self.scheduler.groups.values();
            groups.map(|group| group.waiting.len()).sum()
        }

        fn check_memory(&self) {
            let unfinished = self.scheduler.unfinished();
            assert_eq!(
                self.finished + self.skipped + unfinished,
                self.pushed.len(),
                "lost"
            );
            let mut groups = self.scheduler.groups.values();
            assert!(groups.len() <= 256);
            assert!(groups.all(|group| group.asking > 0 && group.waiting.len() <= 50));
            assert!(self.waiting() <= 25 * 50);
        }

        fn release(&mut self, index: usize) {
            let of = self.asking.swap_remove(index);
            self.scheduler.release(group(of));
            if !self.scheduler.groups.contains_key(&group(of)) {
                self.skipping.remove(&of);
            }
            self.released += 1;
        }

        fn finish(&mut self) {
            self.scheduler.finish();
            self.released -= 1;
            self.finished += 1;
        }
    }

    #[derive(Debug, Clone)]
    enum Call {
        /// A number of checks, and their group.
        Push(usize, usize),
        Release(Vec<prop::sample::Index>),
        Finish,
        /// Milliseconds.
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Call> {
        prop_oneof![
            2 => (1..80_usize, 0..40_usize).prop_map(|(count, of)| Call::Push(count, of)),
            // Few checks each, so that all 256 are in flight.
            2 => (1..20_usize, 40..400_usize).prop_map(|(count, of)| Call::Push(count, of)),
            8 => prop::collection::vec(any::<prop::sample::Index>(), 1..15).prop_map(Call::Release),
            8 => Just(Call::Finish),
            2 => (0..150_u64).prop_map(Call::Pass),
        ]
    }

    proptest! {
        #[test]
        fn every_check_is_started_or_skipped_once_oldest_first_and_within_the_limits(
            steps in prop::collection::vec(step(), 0..150),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            let mut model = Model::new();
            for step in steps {
                match step {
                    Call::Push(count, of) => model.push(count, of),
                    Call::Release(indices) => for index in indices {
                        if !model.asking.is_empty() {
                            model.release(index.index(model.asking.len()));
                        }
                    },
                    Call::Finish if model.released > 0 => model.finish(),
                    Call::Finish => {}
                    Call::Pass(millis) => model.now += Duration::from_millis(millis),
                }
                model.run();
            }
            let mut order = order.into_iter().cycle();
            loop {
                if let Some(until) = model.run() {
                    model.now = until;
                } else if model.released > 0 {
                    model.finish();
                } else if let Some(index) = order.next() && !model.asking.is_empty() {
                    let index = index.index(model.asking.len());
                    model.release(index);
                } else {
                    break;
                }
            }
            prop_assert_eq!(model.handed_out.len(), model.pushed.len());
            prop_assert!(model.scheduler.groups.is_empty(), "an empty group needs no memory");
        }

        #[test]
        fn groups_that_never_finish_delay_the_others_by_100_ms_each(
            groups in prop::collection::vec(0..40_usize, 0..1_500),
            stuck in 0..24_usize,
        ) {
            let mut model = Model::new();
            for of in groups {
                // 24 groups that are full, and others between them.
                model.push(1, if of < 35 { of % 24 } else { of });
            }
            let (began, is_stuck) = (model.now, |of: &usize| *of < stuck);
            loop {
                let blocked_until = model.run();
                if model.released > 0 {
                    model.finish();
                } else if let Some(index) = model.asking.iter().position(|of| !is_stuck(of)) {
                    model.release(index);
                } else if let Some(until) = blocked_until {
                    model.now = until;
                } else {
                    break;
                }
            }
            let stuck_checks = model.asking.len() + model.waiting() + model.skipped;
            prop_assert_eq!(stuck_checks, model.pushed.iter().filter(|of| is_stuck(of)).count());
            prop_assert_eq!(model.finished + stuck_checks, model.pushed.len());
            prop_assert!(model.now - began <= BLOCK_LIMIT * stuck as u32);
        }
    }

    #[test]
    fn a_full_group_blocks_the_queue_for_100_ms_and_again_once_it_was_empty() {
        let mut model = Model::new();
        model.push(62, 0);
        model.push(1, 1);
        let blocked_until = model.now + Duration::from_millis(100);
        assert_eq!(model.run(), Some(blocked_until));
        assert_eq!((model.asking.len(), model.skipped), (10, 0));
        model.now += Duration::from_millis(99);
        assert_eq!(model.run(), Some(blocked_until));
        model.now += Duration::from_millis(1);
        assert_eq!(model.run(), None);
        assert_eq!((model.asking(1), model.skipped), (1, 2));

        // A group that is skipped blocks nothing, but uses its places.
        model.release(0);
        model.push(3, 0);
        assert_eq!(model.run(), None);
        assert_eq!((model.asking(0), model.skipped), (10, 4));

        while let Some(index) = model.asking.iter().position(|of| *of == 0) {
            model.release(index);
            model.run();
        }
        model.push(61, 0);
        assert_eq!(model.run(), Some(model.now + Duration::from_millis(100)));
    }

    #[test]
    fn it_asks_for_more_while_fewer_than_100_checks_are_queued() {
        let mut model = Model::new();
        model.push(99, 0);
        assert!(model.scheduler.has_room());
        model.push(1, 1);
        assert!(!model.scheduler.has_room());
        model.run();
        assert!(model.scheduler.has_room());
    }

    #[test]
    fn a_check_counts_until_it_is_finished_and_in_its_group_until_it_is_released() {
        let mut model = Model::new();
        for of in 0..60 {
            model.push(5, of);
        }
        model.run();
        assert_eq!(model.asking.len(), 256);
        for _ in 0..256 {
            model.release(0);
        }
        assert_eq!(model.run(), None);
        assert!(model.asking.is_empty());
        model.finish();
        model.run();
        assert_eq!(model.asking.len(), 1);
    }
}
