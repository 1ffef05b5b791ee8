//! A share of a core for a process, as Lambda gives it by the memory size.

use std::{fs, io, path::PathBuf, process, time::Duration};

use crate::Result;

/// The memory size of one core, in MB (AWS Lambda developer guide, “Configure Lambda function memory”).
pub const MEMORY_OF_A_CORE: u32 = 1_769;
/// The period of a quota. A long one would let a function run at full speed for longer than a cold start takes.
const PERIOD: Duration = Duration::from_millis(20);

/// A control group. Dropping it removes it, once its processes have ended.
pub struct Cgroup {
    directory: PathBuf,
    /// Where this process belongs.
    home: PathBuf,
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
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let line = own.lines().find_map(|line| match version {
            Version::Two => line.strip_prefix("0::/"),
            Version::One => line
                .split_once(':')?
                .1
                .split_once(":/")
                .filter(|(controllers, _)| controllers.split(',').any(|name| name == "cpu"))
                .map(|(_, path)| path),
        });
        let home = root.join(line.unwrap_or_default());
        let directory = root.join(format!("agency-start-{}", process::id()));
        fs::create_dir(&directory)?;
        let cgroup = Self {
            directory,
            home,
            version,
        };
        cgroup.set_share(1.0)?;
        Ok(cgroup)
    }

    /// Limits its processes to this share of a core.
    pub fn set_share(&self, share: f64) -> io::Result<()> {
        let period = PERIOD.as_micros();
        // The kernel accepts no less than a millisecond.
        let quota = ((period as f64 * share) as u128).max(1_000);
        match self.version {
            Version::Two => fs::write(self.directory.join("cpu.max"), format!("{quota} {period}")),
            Version::One => {
                fs::write(self.directory.join("cpu.cfs_period_us"), period.to_string())?;
                fs::write(self.directory.join("cpu.cfs_quota_us"), quota.to_string())
            }
        }
    }

    /// Runs `spawn` so that the processes it starts are in this group.
    pub fn enter<T>(&self, spawn: impl FnOnce() -> Result<T>) -> Result<T> {
        let move_to =
            |directory: &PathBuf| fs::write(directory.join("cgroup.procs"), process::id().to_string());
        move_to(&self.directory)?;
        let spawned = spawn();
        move_to(&self.home)?;
        spawned
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It remains if a process is still in it.
        let _ = fs::remove_dir(&self.directory);
    }
}
