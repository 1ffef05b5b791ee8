//! The processes of `cargo local`, their cores, CPU time and memory.

use std::{
    env, fmt, fs,
    io::{BufRead, BufReader, copy, sink},
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::Result;

/// The unit of CPU times in `/proc` (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
const ANY_PORT: &str = "127.0.0.1:0";

/// The cores of the API, and those of everything else. Lists in the form of `taskset`.
pub struct Cores(Option<[String; 2]>);

impl Cores {
    /// Gives the first core to the API and the others to everything else, which includes this process. If there is one core only
    /// or no `taskset`, the processes share all cores.
    pub fn divide() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let list = list.ok_or("/proc/self/status has no Cpus_allowed_list")?.trim();
        // "0-3" or "0,2-3"
        let mut cores = Vec::new();
        for range in list.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            cores.extend(first.parse::<u32>()?..=last.parse()?);
        }
        let (first, others) = cores.split_first().ok_or("no core")?;
        if others.is_empty() {
            return Ok(Self(None));
        }
        let others = others.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let pinned = Command::new("taskset")
            .args(["-cp", &others, &process::id().to_string()])
            .stdout(Stdio::null())
            .status();
        let pinned = pinned.is_ok_and(|status| status.success());
        Ok(Self(pinned.then(|| [first.to_string(), others])))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some([api, others]) => write!(
                f,
                "The API has core {api}; the store and the generator have core {others}."
            ),
            None => write!(f, "The API, the store and the generator share all cores."),
        }
    }
}

/// A running `cargo local`. Dropping it stops the process.
pub struct ServerProcess {
    child: Child,
    /// The addresses of its API, its DynamoDB and its DNS server.
    pub api: String,
    dynamodb: String,
    dns: String,
}

impl ServerProcess {
    /// Starts the process whose DynamoDB and DNS server the API uses.
    pub fn start_store(cores: &Cores) -> Result<Self> {
        let list = cores.0.as_ref().map(|[_, others]| others);
        Self::start(list, &["--dynamodb-addr", ANY_PORT, "--dns-addr", ANY_PORT], &[])
    }

    /// Starts the process whose API is measured.
    pub fn start_api(cores: &Cores, store: &Self) -> Result<Self> {
        let list = cores.0.as_ref().map(|[api, _]| api);
        let port = store.dns.rsplit(':').next().unwrap_or_default();
        let variables = [("DNS_RESOLVERS", &*store.dns), ("DNS_AUTHORITY_PORT", port)];
        Self::start(list, &["--dynamodb-endpoint", &store.dynamodb], &variables)
    }

    fn start(cores: Option<&String>, more: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(cores) = cores {
            command.args(["taskset", "-c", cores]);
        }
        let mut child = command
            .arg(program()?)
            .args(["--no-schedule", "--addr", ANY_PORT])
            .args(more)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // Logs of the level that production has.
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut welcome = Vec::new();
        while !welcome.iter().any(|line: &String| line.starts_with("Token")) {
            let mut line = String::new();
            if output.read_line(&mut line)? == 0 {
                return Err(format!("this did not start: {command:?}").into());
            }
            welcome.push(line);
        }
        // It prints each change of a domain's status, and would wait for a reader.
        thread::spawn(move || copy(&mut output, &mut sink()));
        let word = |name: &str| {
            let line = welcome.iter().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.unwrap_or_default().to_owned()
        };
        Ok(Self {
            child,
            api: word("API").trim_start_matches("http://").to_owned(),
            dynamodb: word("DynamoDB"),
            dns: word("DNS"),
        })
    }

    /// CPU time in user mode and in the kernel.
    pub fn cpu(&self) -> Result<Duration> {
        cpu(&self.child.id().to_string())
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|rest| rest.split_whitespace().next());
        Ok(memory.ok_or("`cargo local` has ended")?.parse()?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token of an owner of this organization.
pub fn token(org: &str) -> Result<String> {
    let output = Command::new(program()?)
        .args(["token", "--org", org, "--role", "owner"])
        .output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

/// CPU time of this process.
pub fn own_cpu() -> Result<Duration> {
    cpu("self")
}

/// The program `local` of the same build.
fn program() -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("local"))
}

/// See proc(5).
fn cpu(process: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, which can contain spaces and parentheses.
    let (_, rest) = stat.rsplit_once(") ").ok_or("/proc/*/stat has no program name")?;
    let mut fields = rest.split(' ').skip(11).map(str::parse::<u32>); // The 14th field is the next one.
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(TICK * (user + system)),
        _ => Err("/proc/*/stat has too few fields".into()),
    }
}
