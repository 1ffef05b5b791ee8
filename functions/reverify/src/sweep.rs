//! One sweep: it streams what is due, checks it side by side, and holds nobody up for anybody else.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use shared::{
    app::App,
    models::{
        domain::{Domain, Status},
        id::OrgId,
        time::Timestamp,
    },
    store::{Author, Checked, DomainRecord, DueKey, Error, Nominated},
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};
use verification::{
    check::{Check, Checks},
    dns::Dns,
    gates::{Gates, Place},
    lifecycle::Trigger,
};

use crate::{
    report::Report,
    source::{BATCH, Source},
};

/// So many domains are checked at once,
const AT_ONCE: usize = 256;
/// but of one group no more than these,
const GROUP_AT_ONCE: usize = 10;
/// and no more than these wait for them.
const GROUP_WAITING: usize = 50;
/// So many results are written at once: each needs a connection, and a connection keeps room for the longest answer that
/// it ever brought.
const WRITES_AT_ONCE: usize = 16;
/// A group that frees no place within this time is left behind, and those after it go on.
const PATIENCE: Duration = Duration::from_millis(100);

/// A name's holder that changes so often leaves the check due.
const TRIES: u32 = 3;

/// The time that a check takes as a rule: two looks at DNS of 6 s each, and the writes. What waits longer is cut off.
const CHECK: Duration = Duration::from_secs(15);
/// What is kept for the report.
const FAREWELL: Duration = Duration::from_millis(1500);

/// Checks what is due in these shards, oldest first, and ends within `time`.
///
/// # Errors
/// The index cannot be read. What was begun is finished all the same, and the rest is still due.
pub async fn sweep(app: &App, dns: &Dns, shards: &[u8], time: Duration) -> Result<Report, Error> {
    let work = Work {
        app,
        checks: Checks::new(app, dns),
        turns: Gates::new(1),
        writes: Semaphore::new(WRITES_AT_ONCE),
    };
    let now = app.clock.now();
    let mut sweep = Sweep::new(&work, shards, now, Instant::now() + time);
    sweep.run().await;
    sweep.finish().await
}

/// What all checks of a sweep share.
struct Work<'a> {
    app: &'a App,
    checks: Checks<'a>,
    /// Status changes of one agency take turns: side by side they would only get into each other's way at its counters.
    turns: Gates<OrgId>,
    writes: Semaphore,
}

struct Sweep<'a> {
    work: &'a Work<'a>,
    shards: &'a [u8],
    now: Timestamp,
    began: Instant,
    /// No check begins after this,
    last_start: Instant,
    /// none goes on after this,
    last_end: Instant,
    /// and after this nobody reads the report.
    end: Instant,
    /// Read from the index.
    source: Arc<Mutex<Source>>,
    /// Whether the source has more.
    more: bool,
    /// The next records are on their way.
    reading: bool,
    /// Records to be checked, oldest first.
    ready: VecDeque<(DueKey, Nominated)>,
    /// Since when the first of them waits for its group.
    blocked: Option<Instant>,
    groups: HashMap<String, Group>,
    /// Groups with a place for one that waits.
    free: VecDeque<String>,
    running: FuturesUnordered<Job<'a>>,
    checking: usize,
    /// In this pass over the index: left to the next one, or the next sweep.
    skipped: u64,
    /// In this pass: writes that kept meeting others.
    beaten: u64,
    /// In this pass: checks that were begun.
    begun: u64,
    /// Due, but another sweep or request was faster.
    lost: u64,
    report: Report,
    failure: Option<Error>,
}

type Job<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

/// What ended.
enum Done {
    Read(Result<Vec<(DueKey, Nominated)>, Error>),
    /// Whether it is written that a record is put off.
    PutOff(bool),
    Looked(String, Box<Check>),
    Checked(Outcome),
}

/// How a check ended.
enum Outcome {
    Written {
        was: Status,
        is: Status,
        decided: bool,
        moved: bool,
    },
    Lost,
    /// It is still due.
    Left,
    /// It is to be begun again, as soon as others leave room.
    Crowded,
    /// A record that it needs cannot be read.
    Unreadable,
}

/// Domains that ask the same name servers.
#[derive(Default)]
struct Group {
    running: usize,
    waiting: VecDeque<Box<DomainRecord>>,
    /// Nobody waits for a place in it any more.
    slow: bool,
}

impl<'a> Sweep<'a> {
    fn new(work: &'a Work<'a>, shards: &'a [u8], now: Timestamp, end: Instant) -> Self {
        let began = Instant::now();
        let before_end = |time| end.checked_sub(time).unwrap_or(began);
        Self {
            last_start: before_end(CHECK),
            last_end: before_end(FAREWELL),
            work,
            shards,
            now,
            began,
            end,
            source: Arc::new(Mutex::new(Source::new(shards, now))),
            more: true,
            reading: false,
            ready: VecDeque::new(),
            blocked: None,
            groups: HashMap::new(),
            free: VecDeque::new(),
            running: FuturesUnordered::new(),
            checking: 0,
            skipped: 0,
            beaten: 0,
            begun: 0,
            lost: 0,
            report: Report::default(),
            failure: None,
        }
    }

    async fn run(&mut self) {
        let last_start = tokio::time::sleep_until(self.last_start);
        let last_end = tokio::time::sleep_until(self.last_end);
        tokio::pin!(last_start, last_end);
        loop {
            let open = Instant::now() < self.last_start;
            if open {
                self.begin();
                self.read();
            }
            if self.running.is_empty() && (!open || (self.ready.is_empty() && !self.again())) {
                return;
            }
            tokio::select! {
                Some(done) = self.running.next() => self.done(done),
                () = tokio::time::sleep(PATIENCE), if open && self.blocked.is_some() => {}
                () = &mut last_start, if open => {}
                () = &mut last_end => return,
            }
        }
    }

    /// Begins what there is room for.
    fn begin(&mut self) {
        while self.checking < AT_ONCE
            && let Some(name) = self.free.pop_front()
        {
            let group = self.groups.get_mut(&name);
            let waiting = group.filter(|group| group.running < GROUP_AT_ONCE);
            if let Some(record) = waiting.and_then(|group| group.waiting.pop_front()) {
                self.check(name, record);
            }
        }
        while self.checking < AT_ONCE
            && let Some((key, nominated)) = self.ready.pop_front()
        {
            let record = match nominated {
                Nominated::Gone => continue,
                Nominated::Unreadable(error) => {
                    tracing::error!(%key, %error, "a record cannot be read, and is put off");
                    let work = self.work;
                    self.checking += 1;
                    let put_off = async move { Done::PutOff(put_off(work, key).await) };
                    self.running.push(Box::pin(put_off));
                    continue;
                }
                Nominated::Due(record) => record,
            };
            let name = group(record.domain());
            let group = self.groups.entry(name.clone()).or_default();
            if group.running < GROUP_AT_ONCE {
                self.check(name, record);
            } else if group.waiting.len() < GROUP_WAITING {
                group.waiting.push_back(record);
            } else if group.slow {
                self.skipped += 1;
            } else if self.blocked.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                self.ready.push_front((key, Nominated::Due(record)));
                return;
            } else {
                group.slow = true;
                self.skipped += 1;
            }
            self.blocked = None;
        }
    }

    fn check(&mut self, name: String, record: Box<DomainRecord>) {
        self.groups.entry(name.clone()).or_default().running += 1;
        self.checking += 1;
        self.begun += 1;
        let work = self.work;
        self.running.push(Box::pin(async move {
            let check = work.checks.look(record, Trigger::Schedule).await;
            Done::Looked(name, Box::new(check))
        }));
    }

    /// Reads ahead, so that there is always something to begin.
    fn read(&mut self) {
        if self.more && !self.reading && self.failure.is_none() && self.ready.len() < BATCH {
            self.reading = true;
            let (source, store) = (Arc::clone(&self.source), &self.work.app.store);
            let read = async move { Done::Read(source.lock().await.next(store).await) };
            self.running.push(Box::pin(read));
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::PutOff(written) => {
                self.checking -= 1;
                match written {
                    true => self.report.unreadable += 1,
                    false => self.beaten += 1,
                }
            }
            Done::Read(read) => {
                self.reading = false;
                match read {
                    Ok(records) => {
                        self.more = !records.is_empty();
                        if let (0, Some((key, _))) = (self.report.oldest_due_seconds, records.first()) {
                            let waited = key.at().map(|at| self.now.since(at).as_secs());
                            self.report.oldest_due_seconds = waited.unwrap_or_default();
                        }
                        self.ready.extend(records);
                    }
                    Err(error) => {
                        tracing::error!(%error, "what is due cannot be read");
                        self.failure = Some(error);
                    }
                }
            }
            Done::Looked(name, check) => {
                self.leave(name);
                let work = self.work;
                self.running.push(Box::pin(conclude(work, check)));
            }
            Done::Checked(outcome) => {
                self.checking -= 1;
                match outcome {
                    Outcome::Lost => self.lost += 1,
                    Outcome::Left => self.beaten += 1,
                    Outcome::Crowded => self.skipped += 1,
                    Outcome::Unreadable => self.report.unreadable += 1,
                    Outcome::Written {
                        was,
                        is,
                        decided,
                        moved,
                    } => {
                        self.report.count(was, is, decided);
                        self.report.moved += u64::from(moved);
                    }
                }
            }
        }
    }

    /// A look at DNS has ended: the next one of its group may begin.
    fn leave(&mut self, name: String) {
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        group.running -= 1;
        if !group.waiting.is_empty() {
            self.free.push_back(name);
        } else if group.running == 0 && !group.slow {
            self.groups.remove(&name);
        }
    }

    /// Passes over the index once more if some were left behind and it may go better now.
    fn again(&mut self) -> bool {
        let again = self.skipped > 0 && self.begun > 0 && self.failure.is_none();
        if again {
            (self.skipped, self.beaten, self.begun) = (0, 0, 0);
            self.groups.clear();
            self.free.clear();
            self.source = Arc::new(Mutex::new(Source::new(self.shards, self.now)));
            self.more = true;
            self.read();
        }
        again
    }

    async fn finish(mut self) -> Result<Report, Error> {
        // Whatever is not over by now is cut off; it is still due.
        drop(std::mem::take(&mut self.running));
        let waiting: usize = self.groups.values().map(|group| group.waiting.len()).sum();
        let ready = self
            .ready
            .iter()
            .filter(|(_, nominated)| !matches!(nominated, Nominated::Gone));
        let in_hand = (waiting + ready.count() + self.checking) as u64;
        let unread = match self.more {
            true => {
                let left = async { self.source.lock().await.left(&self.work.app.store).await };
                let end = self.end - FAREWELL / 3;
                // Without it the report is only less exact.
                tokio::time::timeout_at(end, left)
                    .await
                    .map_or(0, Result::unwrap_or_default)
            }
            false => 0,
        };
        let report = &mut self.report;
        report.left = in_hand + unread + self.skipped + self.beaten;
        report.due = report.checked + report.unreadable + report.left + self.lost;
        report.ms = self.began.elapsed().as_millis() as u64;
        report.log();
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.report),
        }
    }
}

async fn put_off(work: &Work<'_>, key: DueKey) -> bool {
    let written = work.app.store.put_off(&key, work.app.clock.now()).await;
    if let Err(error) = &written {
        tracing::error!(%key, %error, "a record cannot be put off");
    }
    written.is_ok()
}

/// Decides what a look at DNS means and writes it, unless somebody was faster.
async fn conclude(work: &Work<'_>, mut check: Box<Check>) -> Done {
    let id = check.domain().id;
    Done::Checked(match write(work, &mut check).await {
        Ok(outcome) => outcome,
        // A record that cannot be read is in the way, the holder's perhaps, and would be again at every next sweep.
        Err(error @ Error::Internal(_)) => {
            tracing::error!(domain = %id, %error, "a check cannot be finished; it is put off");
            let key = DueKey::of(check.domain());
            let done = match key {
                Some(key) => put_off(work, key).await,
                None => false,
            };
            if done { Outcome::Unreadable } else { Outcome::Left }
        }
        Err(error) => {
            tracing::warn!(domain = %id, %error, "a check could not be finished; it is still due");
            Outcome::Left
        }
    })
}

async fn write(work: &Work<'_>, check: &mut Check) -> Result<Outcome, Error> {
    if check.is_crowded() {
        return Ok(Outcome::Crowded);
    }
    let store = &work.app.store;
    let (org, was) = (check.domain().agency_id.clone(), check.domain().status);
    let mut retry = store.retry().up_to(TRIES);
    loop {
        let now = work.app.clock.now();
        let verdict = work.checks.judge(check, None, now).await?;
        if verdict.crowded {
            return Ok(Outcome::Crowded);
        }
        let turn = if verdict.changes_status() {
            let holder = verdict.holder.iter();
            let holder = holder.map(|(holder, _)| holder.domain().agency_id.clone());
            turns(work, holder.chain([org.clone()]).collect()).await
        } else {
            Vec::new()
        };
        let (change, rival) = (verdict.change.clone(), verdict.rival());
        // It is never closed.
        let place = work.writes.acquire().await;
        match store.finish_check(Author::System(now), change, rival).await {
            Ok(Checked::Written(after)) => {
                return Ok(Outcome::Written {
                    was,
                    is: after.status,
                    decided: verdict.decided,
                    moved: verdict.moves(),
                });
            }
            // A newcomer's check may have touched it, and left it due.
            Ok(Checked::Lost(winner)) if is_due(&winner, now) => return Ok(Outcome::Left),
            Ok(Checked::Lost(_)) | Err(Error::NotFound) => return Ok(Outcome::Lost),
            Ok(Checked::HolderChanged) => {}
            Err(error) => return Err(error),
        }
        drop((turn, place));
        // Between the look at the holder and the write somebody took or left the name, or checked it.
        retry.wait().await?;
    }
}

fn is_due(domain: &Domain, now: Timestamp) -> bool {
    let next = domain.check.as_ref().and_then(|check| check.next_check_at);
    next.is_some_and(|next| next <= now)
}

/// Waits until it is the turn of all these agencies.
async fn turns<'a>(work: &'a Work<'_>, mut agencies: Vec<OrgId>) -> Vec<Place<'a, OrgId>> {
    // Always in one order, so that no two wait for each other.
    agencies.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    agencies.dedup();
    let mut turns = Vec::with_capacity(agencies.len());
    for agency in agencies {
        turns.push(work.turns.enter(agency).await);
    }
    turns
}

/// Which domains ask the same name servers: known from the last check, else those of one registrable domain.
fn group(domain: &Domain) -> String {
    match &domain.check {
        Some(check) if !check.nameservers.is_empty() => {
            let mut servers: Vec<_> = check.nameservers.iter().map(String::as_str).collect();
            servers.sort_unstable();
            servers.join(" ")
        }
        _ => {
            let name = domain.hostname.as_str();
            psl::domain_str(name).unwrap_or(name).to_owned()
        }
    }
}
