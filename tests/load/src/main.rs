//! Sends a mix of all operations to a release build of `cargo local` at a fixed rate, beside idle and slow connections. `.ci/load`
//! runs it.
//!
//! The generator is open-loop: the time of each request is fixed before the run, and a latency counts from that time. A server that
//! stops for a second delays all requests of that second, and all of them show it. `vegeta` and `k6` can do this, but no package
//! registry that the project uses has them. Of the tools there, `oha` and `hey` have one method and one body for all requests; `goose`,
//! `drill`, `locust`, `autocannon` and `wrk` wait for a response before they send the next request; `artillery` counts a latency from
//! the moment at which it sends; `httperf` and `tsung` have means and no percentiles. So the project has its own.
//!
//! Latencies, rates and CPU times are printed and never fail. The run fails if a response is not the expected one, if a request of the
//! schedule is missing, if the API's memory grows during ten minutes, or if an idle or slow connection does not live as long as the
//! server's limit.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use tokio::{sync::mpsc, task::LocalSet, time::interval};

mod connections;
mod operations;
mod process;
mod system;

use connections::Connections;
use operations::OPERATIONS;
use process::{Cores, ServerProcess};
use system::LoadedSystem;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The clients of the probe. Each waits for a response before it sends the next request.
const PROBE_CLIENTS: usize = 32;
const PROBE: Duration = Duration::from_secs(10);
/// The embedded DynamoDB keeps the token of each transaction for [`TOKENS_KEPT`], as AWS does, and reads the ages of all of them at
/// each transaction (`evict_expired` of dynoxide 3.2). So what a write costs grows for ten minutes. This is the CPU time for each
/// token, in seconds: the store of a run of 140 s needed 41 % of a core at first and 69 % at the end.
const TOKEN_CPU: f64 = 28e-9;
const TOKENS_KEPT: u64 = 600;
/// A shorter run prints the memory and does not check it: in the first minutes, each new maximum of open requests takes memory that
/// the allocator keeps.
const DEFAULT_SECONDS: u64 = 600;
/// The API's resident memory is printed for these parts of the run.
const PARTS: [f64; 3] = [0.1, 0.5, 1.0];
/// A single value of the memory can be a short peak. The median of this part of the run before each point is not.
const WINDOW: f64 = 0.05;
/// The memory of the last point is at most this times the memory of the first one. The data grows in the store, which is another
/// process. The allocator's share varies by a few percent. A leak of 100 bytes a request exceeds this in ten minutes.
const GROWTH: f64 = 1.1;
/// How many errors are printed.
const ERRORS: usize = 10;

/// Measures the latencies of all operations at a fixed rate
#[derive(Parser)]
#[command(bin_name = ".ci/load")]
struct LoadOptions {
    /// How long the run takes. Slow connections end after 30 s
    #[arg(default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u64).range(45..))]
    seconds: u64,
    /// Requests per second (default: half of the rate that saturates a core, which a probe measures)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
}

fn main() -> ExitCode {
    let options = LoadOptions::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &LoadOptions) -> Result<()> {
    // Before the runtime starts its threads, which inherit the cores of this one.
    let cores = Cores::divide()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, measure(options, &cores))
}

async fn measure(options: &LoadOptions, cores: &Cores) -> Result<()> {
    let store = ServerProcess::start_store(cores)?;
    let api = ServerProcess::start_api(cores, &store)?;
    println!("{cores}");
    let system = Rc::new(LoadedSystem::create(&api).await?);
    check(&system.take_errors())?;
    let rate = match options.rate {
        Some(rate) => rate,
        None => probe(&system, &api, &store, options.seconds).await?,
    };
    let connections = Connections::open(&api);
    let count = options.seconds * rate;
    println!("{count} requests at {rate} a second, beside {connections}");
    let before = [api.cpu()?, store.cpu()?, process::own_cpu()?];
    let start = Instant::now();
    let schedule = tokio::task::spawn_local(send(Rc::clone(&system), start, rate, count));
    let memory = sample_memory(&api, options.seconds).await?;
    let latencies = schedule.await?;
    let time = start.elapsed();
    let after = [api.cpu()?, store.cpu()?, process::own_cpu()?];

    print_latencies(&latencies);
    let share = |index: usize| (after[index] - before[index]).as_secs_f64() / time.as_secs_f64() * 100.0;
    println!(
        "CPU: the API {:.0} % of a core, the store {:.0} %, the generator {:.0} %",
        share(0),
        share(1),
        share(2)
    );
    let memory = PARTS.map(|part| (part * options.seconds as f64, median(&memory, part)));
    let points = memory.map(|(at, kib)| format!("{:.1} MiB at {at:.0} s", mib(kib)));
    println!("Memory of the API: {}", points.join(", "));
    println!("Memory of the store: {:.0} MiB", mib(store.memory()?));
    println!("{}", connections.outcomes());

    let mut failures = system.take_errors();
    failures.extend(connections.errors());
    let responses: usize = latencies.iter().map(Vec::len).sum();
    println!("{responses} of {count} requests got the expected response");
    if responses as u64 != count {
        failures.push(format!("{} requests failed", count - responses as u64));
    }
    let [(_, first), .., (_, last)] = memory;
    let growth = last as f64 / first as f64;
    if options.seconds >= DEFAULT_SECONDS && growth > GROWTH {
        failures.push(format!(
            "the memory grew {growth:.2} times; at most {GROWTH} is allowed"
        ));
    }
    check(&failures)
}

/// Fails with the first ones.
fn check(failures: &[String]) -> Result<()> {
    match failures.len() {
        0 => Ok(()),
        count => {
            let first = &failures[..count.min(ERRORS)];
            Err(format!("{count} failures:\n{}", first.join("\n")).into())
        }
    }
}

/// Half of the rate that saturates the API's core, or that saturates the others at the end of the run if it is lower.
async fn probe(
    system: &Rc<LoadedSystem>,
    api: &ServerProcess,
    store: &ServerProcess,
    seconds: u64,
) -> Result<u64> {
    let cpu = || Ok::<_, Box<dyn std::error::Error>>([api.cpu()?, store.cpu()? + process::own_cpu()?]);
    let before = cpu()?;
    let start = Instant::now();
    let clients = (0..PROBE_CLIENTS).map(|_| {
        let system = Rc::clone(system);
        tokio::task::spawn_local(async move {
            let mut count = 0;
            while start.elapsed() < PROBE {
                system.next().send(&system).await;
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for client in clients.collect::<Vec<_>>() {
        count += client.await?;
    }
    let after = cpu()?;
    check(&system.take_errors())?;
    let [api, others] = [0, 1].map(|index| (after[index] - before[index]).as_secs_f64() / f64::from(count));
    // At a rate r, the store has r * kept tokens and reads all of them r * writes times a second: r * others + r² * tokens = 1.
    let writes = system.share_of_writes();
    let kept = writes * seconds.min(TOKENS_KEPT) as f64;
    let tokens = kept * writes * TOKEN_CPU;
    let [api_rate, others_rate] = [
        1.0 / api,
        ((others.powi(2) + 4.0 * tokens).sqrt() - others) / (2.0 * tokens),
    ];
    println!(
        "Probe: a request takes {:.0} µs of the API's core, which {api_rate:.0} requests a second saturate, and {:.0} µs of the \
         others.\nThe store's work grows with the writes of the last ten minutes: {others_rate:.0} requests a second saturate \
         its core at the end of the run.",
        api * 1e6,
        others * 1e6
    );
    Ok((api_rate.min(others_rate) / 2.0) as u64)
}

/// Sends the requests at their times. Returns the latencies of the expected responses in microseconds, for each operation.
async fn send(system: Rc<LoadedSystem>, start: Instant, rate: u64, count: u64) -> Vec<Vec<u32>> {
    let at = move |number: u64| start + Duration::from_secs_f64(number as f64 / rate as f64);
    let (due, mut requests) = mpsc::unbounded_channel();
    // A thread of its own, because the runtime's timer has a resolution of a millisecond.
    thread::spawn(move || {
        for number in 0..count {
            thread::sleep(at(number).saturating_duration_since(Instant::now()));
            if due.send(at(number)).is_err() {
                break;
            }
        }
    });
    let (done, mut results) = mpsc::unbounded_channel();
    while let Some(at) = requests.recv().await {
        let (system, done) = (Rc::clone(&system), done.clone());
        tokio::task::spawn_local(async move {
            let request = system.next();
            let operation = request.operation();
            if request.send(&system).await {
                let latency = u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX);
                let _ = done.send((operation, latency)); // The receiver waits for all of them.
            }
        });
    }
    drop(done);
    let mut latencies = vec![Vec::new(); OPERATIONS.len()];
    while let Some((operation, latency)) = results.recv().await {
        latencies[operation].push(latency);
    }
    latencies
        .iter_mut()
        .for_each(|latencies| latencies.sort_unstable());
    latencies
}

/// The server's resident memory in KiB, after each second.
async fn sample_memory(server: &ServerProcess, seconds: u64) -> Result<Vec<u64>> {
    let mut second = interval(Duration::from_secs(1));
    second.tick().await; // The first tick is at once.
    let mut samples = Vec::new();
    for _ in 0..seconds {
        second.tick().await;
        samples.push(server.memory()?);
    }
    Ok(samples)
}

/// The median of the samples that precede this part of the run.
fn median(samples: &[u64], part: f64) -> u64 {
    let index = |part: f64| (samples.len() as f64 * part) as usize;
    let mut window = samples[index(part - WINDOW)..index(part)].to_vec();
    window.sort_unstable();
    window[window.len() / 2]
}

fn print_latencies(latencies: &[Vec<u32>]) {
    let row = |name: &str, latencies: &[u32]| {
        let at = |part: f64| {
            let index = (latencies.len() as f64 * part).ceil() as usize;
            let micros = latencies
                .get(index.saturating_sub(1))
                .copied()
                .unwrap_or_default();
            format!("{:.2}", f64::from(micros) / 1000.0)
        };
        println!(
            "{name:<24}{:>10}{:>10}{:>10}{:>10}{:>10}",
            latencies.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    };
    println!(
        "{:<24}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "latency in ms", "requests", "p50", "p99", "p99.9", "max"
    );
    let by_name: BTreeMap<_, _> = OPERATIONS
        .iter()
        .map(|operation| operation.id)
        .zip(latencies)
        .collect();
    for (name, latencies) in by_name {
        row(name, latencies);
    }
    let mut all = latencies.concat();
    all.sort_unstable();
    row("all", &all);
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
