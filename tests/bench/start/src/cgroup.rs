//! A share of a core for a process, as Lambda gives it by the memory size.

use std::{fs, io, path::PathBuf, process, time::Duration};

use tokio::process::Child;

use crate::Result;

/// The memory size of one core, in MB (AWS Lambda developer guide, “Configure Lambda function memory”).
pub const MEMORY_OF_A_CORE: u32 = 1_769;
/// The shortest period of a quota, in which a process can use the share of this time at full speed. A long one would let a function run at full speed for longer than a cold start takes.
const PERIOD: Duration = Duration::from_millis(5);
/// The least quota that the kernel accepts.
const QUOTA: Duration = Duration::from_millis(1);

/// A control group. Dropping it removes it, once its processes have ended.
pub struct Cgroup {
    directory: PathBuf,
    version: Version,
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Cgroup {
    /// Makes a control group.
    ///
    /// # Errors
    /// The machine has no writable controller of CPU time.
    pub fn new() -> io::Result<Self> {
        let (version, root) = match fs::exists("/sys/fs/cgroup/cgroup.controllers")? {
            true => (Version::Two, PathBuf::from("/sys/fs/cgroup")),
            false => (Version::One, PathBuf::from("/sys/fs/cgroup/cpu")),
        };
        let directory = root.join(format!("agency-start-{}", process::id()));
        fs::create_dir(&directory)?;
        let cgroup = Self { directory, version };
        cgroup.set_share(1.0)?;
        Ok(cgroup)
    }

    /// The period of the quota of this share of a core.
    pub fn period(share: f64) -> Duration {
        PERIOD.max(QUOTA.div_f64(share))
    }

    /// Limits its processes to this share of a core.
    pub fn set_share(&self, share: f64) -> io::Result<()> {
        let period = Self::period(share);
        let quota = period.mul_f64(share).max(QUOTA).as_micros();
        let period = period.as_micros();
        match self.version {
            Version::Two => fs::write(self.directory.join("cpu.max"), format!("{quota} {period}")),
            Version::One => {
                fs::write(self.directory.join("cpu.cfs_period_us"), period.to_string())?;
                fs::write(self.directory.join("cpu.cfs_quota_us"), quota.to_string())
            }
        }
    }

    /// Moves a process to this group.
    pub fn add(&self, process: &Child) -> Result<()> {
        let id = process.id().ok_or("the process ended")?;
        Ok(fs::write(self.directory.join("cgroup.procs"), id.to_string())?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It remains if a process is still in it.
        let _ = fs::remove_dir(&self.directory);
    }
}
