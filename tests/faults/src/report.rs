//! What a trial prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    time::Duration,
};

use crate::{history::Attempt, invariants::Findings};

/// How many violations are printed.
const SHOWN: usize = 20;

pub struct Report<'a> {
    pub history: &'a [Attempt],
    /// The number of faults of each kind.
    pub faults: &'a [(String, usize)],
    pub findings: &'a Findings,
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

impl fmt::Display for Report<'_> {
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

/// Prints the first violations.
///
/// # Errors
/// There are some.
pub fn verdict(findings: &Findings, seed: u64, logs: Option<&Path>) -> Result<(), String> {
    let count = findings.violations.len();
    if count == 0 {
        return Ok(());
    }
    for violation in findings.violations.iter().take(SHOWN) {
        println!("  violated: {violation}");
    }
    let logs = logs.map(|folder| format!("; the logs are in {}", folder.display()));
    Err(format!(
        "{count} violations with the seed {seed}{}",
        logs.unwrap_or_default()
    ))
}
