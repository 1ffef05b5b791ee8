//! Memory and CPU time of processes, from `/proc`.

use std::{fs, time::Duration};

use crate::Result;

/// The unit of CPU times in `/proc` (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Peak resident memory of this process, in KiB.
pub fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next());
    Ok(peak.ok_or("/proc/self/status has no VmHWM")?.parse()?)
}

/// CPU time of this process in user mode and in the kernel.
pub fn cpu() -> Result<(Duration, Duration)> {
    let (_, user, system) = stat("self")?;
    Ok((user, system))
}

/// CPU time of all processes of a process group.
pub fn cpu_of_group(group: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // A process may end meanwhile.
        if let Some(name) = name.to_str().filter(|name| name.parse::<u32>().is_ok())
            && let Ok((of, user, system)) = stat(name)
            && of == group
        {
            sum += user + system;
        }
    }
    Ok(sum)
}

/// The process group, and the CPU time in user mode and in the kernel (proc(5)).
fn stat(process: &str) -> Result<(u32, Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, which can contain spaces and parentheses.
    let (_, rest) = stat.rsplit_once(") ").ok_or("/proc/*/stat has no program name")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |field: usize| -> Result<u32> {
        Ok(fields
            .get(field - 3)
            .ok_or("/proc/*/stat has too few fields")?
            .parse()?)
    };
    Ok((number(5)?, TICK * number(14)?, TICK * number(15)?))
}
