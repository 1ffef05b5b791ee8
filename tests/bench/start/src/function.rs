//! One life of a function: its start, its first invocation and warm ones.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use crate::{
    Result,
    cgroup::Cgroup,
    proxy::{CountingProxy, DynamoDbTraffic},
    runtime::RuntimeApi,
};

/// The longest life.
const LIMIT: Duration = Duration::from_secs(60);

/// Becomes the function when it gets a line, so that neither the fork nor the move to a control group is measured. What the shell
/// itself then takes is a few µs.
const WAITING: &str = r#"echo; read -r go; exec "$0" > /dev/null"#;

/// The environment of a function.
pub type Environment = BTreeMap<String, String>;

/// The CPU time that a function gets.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    /// The share of a core before the function first asks for an invocation.
    pub init: f64,
    /// The share of a core from then on.
    pub share: f64,
}

/// What one life took.
#[derive(Debug)]
pub struct Life {
    /// From the `exec` of the program until it asks for an invocation.
    pub init: Duration,
    /// The first invocation.
    pub first: Duration,
    /// Each later one.
    pub warm: Vec<Duration>,
    /// The CPU time of `init`.
    pub init_cpu: Duration,
    /// The CPU time of `first`.
    pub first_cpu: Duration,
    /// Peak resident memory, in KiB.
    pub memory: u64,
    /// Before the first invocation.
    pub init_traffic: DynamoDbTraffic,
    /// In the first invocation.
    pub first_traffic: DynamoDbTraffic,
    /// In all later ones.
    pub warm_traffic: DynamoDbTraffic,
}

/// A program and the event that it gets.
pub struct Program<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub binary: PathBuf,
    /// Its environment.
    pub environment: &'a Environment,
    /// The event of each of its invocations.
    pub event: Bytes,
}

impl Program<'_> {
    /// Runs the program for one invocation and `warm` further ones.
    ///
    /// # Errors
    /// The program fails, or its response is not a success.
    pub async fn live(
        &self,
        proxy: &CountingProxy,
        warm: usize,
        cgroup: Option<(&Cgroup, Cpu)>,
    ) -> Result<Life> {
        match tokio::time::timeout(LIMIT, self.life(proxy, warm, cgroup)).await {
            Ok(life) => life.map_err(|error| format!("{}: {error}", self.name).into()),
            Err(_) => Err(format!("{}: no response in {LIMIT:?}", self.name).into()),
        }
    }

    async fn life(&self, proxy: &CountingProxy, warm: usize, cgroup: Option<(&Cgroup, Cpu)>) -> Result<Life> {
        let mut api = RuntimeApi::start().await?;
        proxy.take();
        let mut process = self
            .command(Path::new("/bin/sh"), &api, proxy)
            .args(["-c", WAITING])
            .arg(&self.binary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut wait = process.stdout.take().ok_or("no output")?;
        wait.read_u8().await?;
        if let Some((cgroup, cpu)) = cgroup {
            cgroup.set_share(cpu.init)?;
            cgroup.add(&process)?;
        }
        let before = cpu_time(&process).await?;
        let began = Instant::now();
        process.stdin.take().ok_or("no input")?.write_all(b"\n").await?;
        let init = api.next().await? - began;
        let init_cpu = cpu_time(&process).await?.saturating_sub(before);
        let init_traffic = proxy.take();
        if let Some((cgroup, cpu)) = cgroup {
            cgroup.set_share(cpu.share)?;
        }
        let first = self.invoke(&mut api).await?;
        let first_cpu = cpu_time(&process).await?.saturating_sub(before + init_cpu);
        let first_traffic = proxy.take();
        let mut later = Vec::with_capacity(warm);
        for _ in 0..warm {
            // Requests one after the other would wait for each other's quota.
            if let Some((_, cpu)) = cgroup.filter(|(_, cpu)| cpu.share < 1.0) {
                tokio::time::sleep(Cgroup::period(cpu.share)).await;
            }
            later.push(self.invoke(&mut api).await?);
        }
        let life = Life {
            init,
            first,
            warm: later,
            init_cpu,
            first_cpu,
            memory: peak_memory(&process)?,
            init_traffic,
            first_traffic,
            warm_traffic: proxy.take(),
        };
        process.kill().await?;
        Ok(life)
    }

    /// The instructions of a warm invocation, by callgrind: the difference of a long and a short life.
    ///
    /// # Errors
    /// Valgrind or the program fails.
    pub async fn instructions(&self, proxy: &CountingProxy) -> Result<u64> {
        const SHORT: u64 = 20;
        const LONG: u64 = 120;
        let (short, long) = (
            self.collected(proxy, SHORT).await?,
            self.collected(proxy, LONG).await?,
        );
        Ok(long.saturating_sub(short) / (LONG - SHORT))
    }

    /// The instructions of a life with this number of invocations.
    async fn collected(&self, proxy: &CountingProxy, invocations: u64) -> Result<u64> {
        let mut api = RuntimeApi::start().await?;
        let mut command = self.command(Path::new("valgrind"), &api, proxy);
        command
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&self.binary)
            .stderr(Stdio::piped());
        let process = command.spawn()?;
        api.next().await?;
        for _ in 0..invocations {
            self.invoke(&mut api).await?;
        }
        let id = process.id().ok_or("valgrind ended")?.to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        let output = String::from_utf8_lossy(&process.wait_with_output().await?.stderr).into_owned();
        let collected = output.lines().find_map(|line| line.split_once("Collected : "));
        let (_, number) = collected.ok_or_else(|| format!("valgrind printed no count: {output}"))?;
        Ok(number.trim().parse()?)
    }

    fn command(&self, program: &Path, api: &RuntimeApi, proxy: &CountingProxy) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.environment)
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.endpoint)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn invoke(&self, api: &mut RuntimeApi) -> Result<Duration> {
        let began = Instant::now();
        let (ended, response) = api.invoke(self.event.clone()).await?;
        let response: Value = serde_json::from_slice(&response)?;
        // The response of a function without routes has no status.
        match response.get("statusCode").and_then(Value::as_u64) {
            None | Some(200..300) => Ok(ended - began),
            _ => Err(response.to_string().into()),
        }
    }
}

/// The CPU time of all threads that have not ended (Linux, “Scheduler statistics”), once they wait: the kernel counts the time of a
/// running thread late.
async fn cpu_time(process: &Child) -> Result<Duration> {
    let id = process.id().ok_or("the function ended")?;
    let mut last = None;
    loop {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            // The thread may have ended.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            let first = text.split(' ').next().ok_or("an empty schedstat")?;
            nanoseconds += first.parse::<u64>()?;
        }
        if last.replace(nanoseconds) == Some(nanoseconds) {
            return Ok(Duration::from_nanos(nanoseconds));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn peak_memory(process: &Child) -> Result<u64> {
    let id = process.id().ok_or("the function ended")?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next());
    Ok(peak.ok_or("no VmHWM")?.parse()?)
}
