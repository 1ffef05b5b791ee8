//! What a run reached, as a table: how often each row had each column.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::Accepted;

/// The engine ends the process, so the table is written this often.
const INTERVAL: Duration = Duration::from_secs(5);

/// Written to the file that `FUZZ_FIGURES` names.
pub struct Figures {
    /// What counts as accepted is for the target to say.
    pub accepted: Accepted,
    file: Option<PathBuf>,
    begun: Instant,
    written: Instant,
    inputs: u64,
    counts: BTreeMap<String, BTreeMap<String, u64>>,
    not_reached: BTreeSet<&'static str>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            accepted: Accepted::new(),
            file: env::var_os("FUZZ_FIGURES").map(PathBuf::from),
            begun: Instant::now(),
            written: Instant::now(),
            inputs: 0,
            counts: BTreeMap::new(),
            not_reached: BTreeSet::new(),
        }
    }
}

impl Figures {
    pub fn count(&mut self, row: &str, column: impl ToString) {
        let row = self.counts.entry(row.to_owned()).or_default();
        *row.entry(column.to_string()).or_default() += 1;
    }

    /// `.ci/fuzz` fails if these are not reached in a minute.
    pub fn expect(&mut self, names: impl IntoIterator<Item = &'static str>) {
        self.not_reached.extend(names);
    }

    pub fn reached(&mut self, name: &str) {
        self.not_reached.remove(name);
    }

    /// Counts an input.
    pub fn input(&mut self) {
        self.inputs += 1;
        if self.written.elapsed() > INTERVAL {
            self.written = Instant::now();
            if let Some(file) = &self.file {
                // Without the table the run is as good.
                let _ = fs::write(file, self.table());
            }
        }
    }

    fn table(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        let speed = self.inputs as f64 / seconds;
        let mut table = format!("{} inputs in {seconds:.0} s: {speed:.1} a second\n", self.inputs);
        for (row, columns) in &self.counts {
            let columns: Vec<_> = columns
                .iter()
                .map(|(column, count)| format!("{column}: {count}"))
                .collect();
            table += &format!("{row:<24} {}\n", columns.join(", "));
        }
        if !self.not_reached.is_empty() {
            table += &format!("not reached: {:?}\n", self.not_reached);
        }
        table
    }
}
