//! What the kernel tells of processes.

use std::{fs, time::Duration};

use crate::Result;

/// The kernel counts CPU time in these.
const TICK: Duration = Duration::from_millis(10);

/// The most memory that this process had at any time, in KiB.
pub fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next());
    Ok(peak.ok_or("the kernel tells no peak of memory")?.parse()?)
}

/// This process's CPU time in its own code, and in the kernel for it.
pub fn cpu() -> Result<(Duration, Duration)> {
    let (_, user, system) = stat("self")?;
    Ok((user, system))
}

/// The CPU time of the processes of a group.
pub fn cpu_of_group(group: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // Others may end while this looks.
        if let Some(name) = name.to_str().filter(|name| name.parse::<u32>().is_ok())
            && let Ok((of, user, system)) = stat(name)
            && of == group
        {
            sum += user + system;
        }
    }
    Ok(sum)
}

/// A process's group, and its CPU time in user and system mode (proc(5)).
fn stat(process: &str) -> Result<(u32, Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, which may have anything in it.
    let (_, rest) = stat.rsplit_once(") ").ok_or("no line of proc(5)")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |field: usize| -> Result<u32> { Ok(fields.get(field - 3).ok_or("a short line")?.parse()?) };
    Ok((number(5)?, TICK * number(14)?, TICK * number(15)?))
}
