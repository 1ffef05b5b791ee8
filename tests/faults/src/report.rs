//! What a trial prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use crate::{
    environment::Sweeps,
    history::Attempt,
    invariants::{Findings, INVARIANTS},
    load::PATIENCE,
    operations,
};

/// How many failures are printed.
const SHOWN: usize = 20;

pub struct TrialReport<'a> {
    pub history: &'a [Attempt],
    /// The number of faults of each kind.
    pub faults: &'a [(String, usize)],
    pub findings: &'a Findings,
    pub sweeps: Sweeps,
    pub duration: Duration,
    /// Further lines.
    pub more: Vec<String>,
}

/// The status of a response, or why there is none.
fn outcome(attempt: &Attempt) -> String {
    match &attempt.response {
        None => "no response".to_owned(),
        Some(_) if attempt.is_replay() => "201 replayed".to_owned(),
        Some(response) => match response.code() {
            "" => response.status.to_string(),
            code => format!("{} {code}", response.status),
        },
    }
}

impl TrialReport<'_> {
    /// The attempts without a response whose clients waited for one as long as the API may take.
    pub fn unanswered(&self) -> Vec<String> {
        let describe = |attempt: &Attempt| {
            let reason = match attempt.took < PATIENCE {
                true => "the connection ended before the response",
                false => "no response within the API's limit of 14 s and a margin",
            };
            let (id, took) = (attempt.operation.id, attempt.took.as_millis());
            format!("{} {id}: {reason}, after {took} ms", attempt.actor)
        };
        let attempts = self.history.iter();
        let unanswered = attempts.filter(|attempt| attempt.response.is_none() && !attempt.gives_up_early);
        unanswered.map(describe).collect()
    }

    /// What did not occur, so that the result says nothing about it: the check of an invariant, the success of a write, a kind
    /// of fault, the check of a domain in a sweep.
    pub fn uncovered(&self) -> Vec<String> {
        let unchecked = INVARIANTS
            .iter()
            .filter(|name| !self.findings.checks.contains_key(*name));
        let unsuccessful = operations::writes().filter(|id| {
            let mut own = self.history.iter().filter(|attempt| attempt.operation.id == *id);
            !own.any(Attempt::is_acknowledged)
        });
        let absent = self.faults.iter().filter(|(_, count)| *count == 0);
        unchecked
            .map(|name| format!("no check of the invariant: {name}"))
            .chain(unsuccessful.map(|id| format!("no success of {id}")))
            .chain(absent.map(|(kind, _)| format!("no fault: {kind}")))
            .chain((self.sweeps.checks == 0).then(|| "no check of a domain in a sweep".to_owned()))
            .collect()
    }
}

impl fmt::Display for TrialReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operations = BTreeMap::<&str, BTreeMap<String, usize>>::new();
        let mut actors = BTreeSet::new();
        for attempt in self.history {
            let outcomes = operations.entry(attempt.operation.id).or_default();
            *outcomes.entry(outcome(attempt)).or_default() += 1;
            actors.insert(attempt.actor.split('.').next());
        }
        let seconds = self.duration.as_secs_f64();
        let rate = actors.len() as f64 / seconds;
        let retries = self.history.len() - actors.len();
        writeln!(
            f,
            "{} operations in {seconds:.0} s ({rate:.0}/s), {retries} repeated by the client",
            actors.len()
        )?;
        let gave_up = |attempt: &&Attempt| attempt.response.is_none() && attempt.gives_up_early;
        writeln!(
            f,
            "{} attempts: {} without a response because the client gave up early, {} for another reason",
            self.history.len(),
            self.history.iter().filter(gave_up).count(),
            self.unanswered().len()
        )?;
        writeln!(f, "{}", self.sweeps)?;
        for line in &self.more {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "\nresponses: median and maximum of their times")?;
        for (id, outcomes) in operations {
            let outcomes: Vec<_> = outcomes
                .iter()
                .map(|(outcome, count)| format!("{count} × {outcome}"))
                .collect();
            let attempts = self.history.iter().filter(|attempt| attempt.operation.id == id);
            let mut times: Vec<_> = attempts.map(|attempt| attempt.took.as_millis()).collect();
            times.sort_unstable();
            let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
            writeln!(
                f,
                "  {id:<22} {median:>4} ms {most:>5} ms  {}",
                outcomes.join(", ")
            )?;
        }
        writeln!(f, "\nfaults")?;
        for (kind, count) in self.faults {
            writeln!(f, "  {count:>7} {kind}")?;
        }
        writeln!(f, "\ninvariants: checks")?;
        for (invariant, checks) in &self.findings.checks {
            writeln!(f, "  {checks:>7} {invariant}")?;
        }
        Ok(())
    }
}

/// Prints the first failures.
///
/// # Errors
/// There are some.
pub fn verdict(failures: &[String], seed: u64) -> Result<(), String> {
    for failure in failures.iter().take(SHOWN) {
        println!("  failed: {failure}");
    }
    match failures.len() {
        0 => Ok(()),
        count => Err(format!("{count} failures with the seed {seed}")),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::{load, operations::Known};

    fn attempt(gives_up_early: bool, took: Duration) -> Attempt {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(1);
        Attempt {
            actor: "op-1.0".to_owned(),
            operation: operations::make("enableAgency", 0, 1, &mut rng, &Known::default()),
            start: 0,
            end: 1,
            took,
            gives_up_early,
            response: None,
        }
    }

    #[test]
    fn a_report_lists_missing_responses_and_what_did_not_occur() {
        let [short, long] = [Duration::from_millis(5), load::PATIENCE];
        let history = [attempt(true, short), attempt(false, short), attempt(false, long)];
        let report = TrialReport {
            history: &history,
            faults: &[("throttled".to_owned(), 1), ("conflict".to_owned(), 0)],
            findings: &Findings::default(),
            sweeps: Sweeps::default(),
            duration: Duration::from_secs(1),
            more: Vec::new(),
        };
        assert_eq!(
            report.unanswered(),
            [
                "op-1.0 enableAgency: the connection ended before the response, after 5 ms",
                "op-1.0 enableAgency: no response within the API's limit of 14 s and a margin, after 18000 ms",
            ]
        );
        let uncovered = report.uncovered();
        for what in [
            "no check of the invariant: counters",
            "no success of enableAgency",
            "no fault: conflict",
            "no check of a domain in a sweep",
        ] {
            assert!(uncovered.iter().any(|found| found == what), "{what}");
        }
        assert_eq!(
            uncovered.len(),
            INVARIANTS.len() + operations::writes().count() + 2
        );
        assert!(verdict(&uncovered, 1).is_err());
        assert!(verdict(&[], 1).is_ok());
    }
}
