//! One sweep: it reads the index, schedules the due checks, observes, settles and counts.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use shared::{
    app::App,
    models::{
        domain::{Domain, FindingCode},
        time::Timestamp,
    },
    store::{self, Author, DomainRecord, DueKey, DueLookup},
};
use tokio::{
    join,
    sync::Mutex,
    time::{sleep_until, timeout_at},
};
use verification::{Busy, CheckError, Checker, Network, Observed, Settled, Trigger, Turns};

use crate::{
    Selection, SweepError,
    group::Group,
    report::Report,
    scheduler::{Next, Scheduler},
    source::{BATCH_SIZE, Source},
};

/// No check starts with less time than this: the queries for its domain and for the holder take 6 s each at most, and then
/// the result is written. The handshake with the edge takes what remains before that, and 3 s at most. A check that waits for others in addition is cancelled at the end, and stays due.
const CHECK_TIME: Duration = Duration::from_secs(15);
/// The end of the sweep's time, in which checks are cancelled and the report is made.
const REPORT_RESERVE: Duration = Duration::from_millis(1500);
/// Of it, the time to count what is still due.
const COUNT_TIME: Duration = Duration::from_secs(1);

/// Checks the selected domains, those that are due first, and ends within `time`.
///
/// # Errors
/// [`SweepError::Store`]: the index cannot be read. Checks that were started end all the same, and the rest stays due.
pub async fn sweep(
    app: &App,
    network: &Network,
    selection: &Selection,
    time: Duration,
) -> Result<Report, SweepError> {
    let started = Instant::now();
    let until_end = |reserve| started + time.saturating_sub(reserve);
    let context = SweepContext {
        app,
        checker: Checker::new(app, network),
        turns: Turns::default(),
        deadline: until_end(REPORT_RESERVE),
    };
    let mut sweep = Sweep::new(&context, selection, until_end(CHECK_TIME));
    let target = timeout_at(context.deadline.into(), context.checker.resolves_target());
    let (target, ()) = join!(target, sweep.run());
    let mut report = sweep.finish().await?;
    report.target_resolved = target.unwrap_or_default();
    report.ms = started.elapsed().as_millis() as u64;
    report.log();
    Ok(report)
}

/// What all jobs of a sweep share.
struct SweepContext<'a> {
    app: &'a App,
    checker: Checker<'a>,
    turns: Turns,
    /// Jobs that run longer are cancelled.
    deadline: Instant,
}

struct Sweep<'a> {
    context: &'a SweepContext<'a>,
    selection: &'a Selection,
    now: Timestamp,
    /// No check starts after this.
    last_start: Instant,
    /// `None` once it is read to its end.
    source: Option<Arc<Mutex<Source>>>,
    reading: bool,
    scheduler: Scheduler<Due>,
    jobs: FuturesUnordered<Job<'a>>,
    /// Unreadable records that are being put off.
    putting_off: usize,
    pass: Pass,
    superseded: u64,
    report: Report,
    failure: Option<store::Error>,
}

/// Counters of one pass over the index. Domains that were left due are met again in the next pass.
#[derive(Default)]
struct Pass {
    started: u64,
    /// Their group had no room, or their servers were busy.
    skipped: u64,
    /// Their write failed, or kept conflicting with others.
    write_conflicts: u64,
}

/// A check that is due.
struct Due {
    key: DueKey,
    record: Box<DomainRecord>,
}

type Job<'a> = Pin<Box<dyn Future<Output = JobEnded> + Send + 'a>>;

/// A job has ended.
enum JobEnded {
    Read(Result<Vec<(DueKey, DueLookup)>, store::Error>),
    /// Whether the record was put off.
    PutOff(bool),
    Observed(Group, DueKey, Result<Box<Observed>, Busy>),
    Settled(DueKey, Result<Settled, CheckError>),
}

impl<'a> Sweep<'a> {
    fn new(context: &'a SweepContext<'a>, selection: &'a Selection, last_start: Instant) -> Self {
        let now = context.app.clock.now();
        Self {
            context,
            selection,
            now,
            last_start,
            source: Some(Arc::new(Mutex::new(Source::new(selection, now)))),
            reading: false,
            scheduler: Scheduler::default(),
            jobs: FuturesUnordered::new(),
            putting_off: 0,
            pass: Pass::default(),
            superseded: 0,
            report: Report::default(),
            failure: None,
        }
    }

    async fn run(&mut self) {
        let deadline = sleep_until(self.context.deadline.into());
        tokio::pin!(deadline);
        loop {
            let blocked_until = self.start();
            if self.jobs.is_empty() && !self.start_next_pass() {
                return;
            }
            let retry_at = blocked_until.unwrap_or(self.context.deadline);
            tokio::select! {
                Some(event) = self.jobs.next() => self.handle(event),
                () = sleep_until(retry_at.into()), if blocked_until.is_some() => {}
                () = &mut deadline => return,
            }
        }
    }

    /// Starts the checks that may start, and the next read of the index. Returns when to try again, where time alone
    /// makes a difference.
    fn start(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if now >= self.last_start {
            return None;
        }
        let blocked_until = loop {
            match self.scheduler.next(now) {
                Next::Start(group, due) => self.observe(group, due),
                Next::Skip(_) => self.pass.skipped += 1,
                Next::Wait(until) => break until,
            }
        };
        self.read();
        blocked_until
    }

    fn observe(&mut self, group: Group, Due { key, record }: Due) {
        self.pass.started += 1;
        let checker = &self.context.checker;
        self.jobs.push(Box::pin(async move {
            let observed = checker.observe(record, Trigger::Schedule).await;
            JobEnded::Observed(group, key, observed.map(Box::new))
        }));
    }

    /// Reads ahead, so that there is always a check to start.
    fn read(&mut self) {
        let has_room = self.scheduler.has_room() && self.putting_off < BATCH_SIZE;
        if let Some(source) = &self.source
            && has_room
            && !self.reading
            && self.failure.is_none()
        {
            self.reading = true;
            let (source, store) = (Arc::clone(source), &self.context.app.store);
            let read = async move { JobEnded::Read(source.lock().await.next(store).await) };
            self.jobs.push(Box::pin(read));
        }
    }

    fn handle(&mut self, event: JobEnded) {
        match event {
            JobEnded::Read(Ok(records)) => {
                self.reading = false;
                self.push(records);
            }
            JobEnded::Read(Err(error)) => {
                tracing::error!(%error, "the index of due checks cannot be read");
                self.reading = false;
                self.failure = Some(error);
            }
            JobEnded::PutOff(written) => {
                self.putting_off -= 1;
                match written {
                    true => self.report.unreadable += 1,
                    false => self.pass.write_conflicts += 1,
                }
            }
            JobEnded::Observed(group, key, observed) => {
                self.scheduler.release(group);
                match observed {
                    Ok(observed) => self.settle(key, *observed),
                    Err(busy) => self.finish_check(key, Err(busy.into())),
                }
            }
            JobEnded::Settled(key, settled) => self.finish_check(key, settled),
        }
    }

    fn push(&mut self, records: Vec<(DueKey, DueLookup)>) {
        let Some((oldest, _)) = records.first() else {
            self.source = None;
            return;
        };
        if self.report.oldest_due_seconds == 0 {
            let overdue = oldest.at().map(|at| self.now.since(at).as_secs());
            self.report.oldest_due_seconds = overdue.unwrap_or_default();
        }
        for (key, record) in records {
            match record {
                DueLookup::Gone => {}
                DueLookup::Due(record) if self.selection.excludes(record.domain()) => {}
                DueLookup::Due(record) => {
                    let group = Group::of(record.domain());
                    self.scheduler.push(group, Due { key, record });
                }
                DueLookup::Unreadable(error) => {
                    tracing::error!(%key, %error, "record cannot be parsed; its check is put off for 24 h");
                    self.put_off(key);
                }
            }
        }
    }

    fn put_off(&mut self, key: DueKey) {
        self.putting_off += 1;
        let app = self.context.app;
        self.jobs.push(Box::pin(async move {
            let written = app.store.put_off(&key, app.clock.now()).await;
            if let Err(error) = &written {
                tracing::error!(%key, %error, "record cannot be put off; its check stays due");
            }
            JobEnded::PutOff(written.is_ok())
        }));
    }

    fn settle(&mut self, key: DueKey, observed: Observed) {
        let SweepContext {
            checker,
            turns,
            deadline,
            ..
        } = self.context;
        self.jobs.push(Box::pin(async move {
            let settled = checker.settle(observed, Author::System, *deadline, turns).await;
            JobEnded::Settled(key, settled)
        }));
    }

    fn finish_check(&mut self, key: DueKey, settled: Result<Settled, CheckError>) {
        self.scheduler.finish();
        match settled {
            Ok(Settled::Written {
                before,
                domain,
                decided,
                moved,
            }) => {
                self.report.count(before, domain.status, decided);
                self.report.resolver_failed += u64::from(domain.has_finding(FindingCode::ResolverFailed));
                self.report.moved += u64::from(moved);
            }
            // For example by the check of a newcomer, which changes the holder's domain too.
            Ok(Settled::Superseded(winner)) if is_due(&winner, self.context.app.clock.now()) => {
                self.pass.write_conflicts += 1;
            }
            Ok(Settled::Superseded(_)) | Err(CheckError::Store(store::Error::NotFound)) => {
                self.superseded += 1
            }
            Err(CheckError::Busy(_)) => self.pass.skipped += 1,
            // The holder's record, for example. It would fail every sweep.
            Err(CheckError::Store(error @ store::Error::Unreadable(_))) => {
                tracing::error!(%key, %error, "record of a check cannot be parsed; the check is put off for 24 h");
                self.put_off(key);
            }
            // A bug or a missing permission, which other checks meet too.
            Err(CheckError::Store(error @ store::Error::Internal(_))) => {
                tracing::error!(%key, %error, "check cannot be written; it stays due");
                self.pass.write_conflicts += 1;
            }
            Err(CheckError::Store(error)) => {
                tracing::warn!(%key, %error, "check cannot be written; it stays due");
                self.pass.write_conflicts += 1;
            }
        }
    }

    /// Reads the index once more if checks were skipped. A pass that started nothing would only repeat itself.
    fn start_next_pass(&mut self) -> bool {
        let again = self.pass.skipped > 0 && self.pass.started > 0 && self.failure.is_none();
        if again && Instant::now() < self.last_start {
            self.pass = Pass::default();
            self.source = Some(Arc::new(Mutex::new(Source::new(self.selection, self.now))));
            self.read();
            return true;
        }
        false
    }

    /// Cancels what still runs, which stays due, and counts what is left.
    async fn finish(mut self) -> Result<Report, SweepError> {
        self.jobs.clear();
        let in_hand = self.scheduler.unfinished() + self.putting_off;
        let mut report = self.report;
        report.left = in_hand as u64 + self.pass.skipped + self.pass.write_conflicts;
        if let Some(source) = &self.source {
            let left = async { source.lock().await.left(&self.context.app.store).await };
            let left = timeout_at((self.context.deadline + COUNT_TIME).into(), left).await;
            // Without it the report is less exact, but the sweep did its work.
            report.left += left.map_or(0, Result::unwrap_or_default);
        }
        report.due = report.checked + report.unreadable + report.left + self.superseded;
        match self.failure {
            Some(failure) => Err(failure.into()),
            None => Ok(report),
        }
    }
}

fn is_due(domain: &Domain, now: Timestamp) -> bool {
    let next = domain.check.as_ref().and_then(|check| check.next_check_at);
    next.is_some_and(|next| next <= now)
}
