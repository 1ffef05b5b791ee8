//! The figures that are committed, and the comparison with them.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::Result;

/// What one run of the benchmark measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    /// The processor and the number of its cores.
    pub machine: String,
    /// The day, in UTC.
    pub date: String,
    /// The functions by name.
    pub functions: BTreeMap<String, FunctionFigures>,
}

/// The figures of a function.
#[derive(Debug, Serialize, Deserialize)]
pub struct FunctionFigures {
    /// The size of the binary, in bytes.
    pub binary: u64,
    /// The size of the binary after `gzip -9`, in bytes.
    pub zipped: u64,
    /// Peak memory with a whole core and TLS, in KiB: median.
    pub memory: u64,
    /// Requests to DynamoDB during the start, in the first invocation and in a warm one.
    pub requests: [f64; 3],
    /// Bytes to and from DynamoDB in a warm invocation, without TLS.
    pub bytes: f64,
    /// The instructions of a warm invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// CPU time of the start and of the first invocation with a whole core and TLS, in ms: medians.
    pub cpu: [f64; 2],
    /// A warm invocation with a whole core and TLS, in ms: median and 99th percentile.
    pub warm: [f64; 2],
    /// By memory size, transport and share of a core during the start.
    pub settings: BTreeMap<String, Times>,
    /// Ratios to the least program.
    pub ratios: BTreeMap<String, Ratio>,
}

/// The times in one setting, in ms.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Times {
    /// The start: median.
    pub start: f64,
    /// The first invocation: median.
    pub first: f64,
    /// The start and the first invocation together: 99th percentile, which is the slowest of fewer than 50 lives.
    pub p99: f64,
    /// A warm invocation: mean.
    pub warm: f64,
}

/// A ratio of two measurements in one run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ratio {
    /// The median.
    pub median: f64,
    /// The distance between the quartiles, and at least [`LEAST_SPREAD`].
    pub spread: f64,
}

/// Another version of the compiler or of the C library changes a ratio by about this.
pub const LEAST_SPREAD: f64 = 0.03;

impl Figures {
    /// Reads committed figures.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Writes the figures for committing.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(fs::write(path, text)?)
    }

    /// Each ratio that is worse than that of `committed` by more than the spread of this run.
    pub fn worse_than(&self, committed: &Self) -> Vec<String> {
        let mut worse = Vec::new();
        for (name, function) in &self.functions {
            let before = committed.functions.get(name);
            for (of, ratio) in &function.ratios {
                let Some(before) = before.and_then(|before| before.ratios.get(of)) else {
                    worse.push(format!("{name}: no committed ratio of {of}"));
                    continue;
                };
                // Also if it is not a number.
                if (ratio.median - ratio.spread).total_cmp(&before.median).is_gt() {
                    worse.push(format!(
                        "{name}: {of} is {:.2} (±{:.2}) of the least program's, and {:.2} in the committed figures",
                        ratio.median, ratio.spread, before.median
                    ));
                }
            }
        }
        worse
    }
}

impl Ratio {
    /// The ratio of paired measurements.
    pub fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut ratios: Vec<f64> = pairs.map(|(own, least)| own / least).collect();
        Self {
            median: quantile(&mut ratios, 0.5),
            spread: (quantile(&mut ratios, 0.75) - quantile(&mut ratios, 0.25)).max(LEAST_SPREAD),
        }
    }
}

/// A quantile of the numbers: the nearest one. Sorts them. 0 if there are none.
pub fn quantile(numbers: &mut [f64], quantile: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len().saturating_sub(1);
    let index = (last as f64 * quantile).round() as usize;
    numbers.get(index).copied().unwrap_or_default()
}
