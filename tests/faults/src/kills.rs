//! Processes that are killed: under load, and while they create their data file.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clap::Args;
use local::{
    dynamodb,
    environment::{REGION, TABLE},
};
use rand::RngExt;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    environment::{self, Sweeps},
    invariants,
    load::{self, Load},
    process::Setup,
    report::{self, Report},
    table::Table,
    trial::{self, Surroundings},
};

/// How long a process runs before it is killed, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 200..2500;
const CLIENTS: usize = 16;
/// About how many bytes the creation of the table writes to the log of the embedded database.
const CREATION_BYTES: u64 = 90_000;

#[derive(Args)]
pub struct KillArgs {
    /// The number of kills under load
    #[arg(default_value_t = 50)]
    kills: usize,
    /// The number of kills during the first start
    #[arg(long, default_value_t = 60)]
    first_starts: u64,
    /// The source of all random choices (default: a random one, which is printed)
    #[arg(long)]
    seed: Option<u64>,
}

/// Kills `cargo local --data FILE`, and prints a report.
///
/// # Errors
/// It cannot be run, a start fails, or an invariant is violated.
pub async fn run(args: KillArgs) -> Result<(), String> {
    let seed = trial::seed(args.seed);
    println!("seed {seed}");
    let around = Surroundings::start().await?;
    let file = around.setup.folder.join("data.db");
    let addresses = [free_address().await?, free_address().await?];
    let start = |setup: Setup, file| async move { setup.start_on(file, addresses).await };
    let mut process = start(around.setup.clone(), &file).await?;
    let load = Arc::new(Load::new(seed, vec![addresses[0]], usize::MAX));
    let began = Instant::now();
    load.prepare().await?;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let load = Arc::clone(&load);
        clients.spawn(async move { load.work().await });
    }
    let mut rng = load::rng(seed, u64::MAX);
    let kill = async {
        for _ in 0..args.kills {
            sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
            process.kill().await?;
            process = start(around.setup.clone(), &file).await?;
        }
        Ok::<_, String>(process)
    };
    let records = environment::change_records(&around.dns, &load, load::rng(seed, u64::MAX - 3));
    let sweeps = Mutex::new(Sweeps::default());
    let process = tokio::select! {
        process = kill => process?,
        ended = records => return ended,
        () = environment::sweep(&addresses[..1], load::rng(seed, u64::MAX - 2), &sweeps) => return Ok(()),
    };
    load.stop();
    clients.join_all().await;
    let duration = began.elapsed();
    let client = dynamodb::client(&format!("http://{}", addresses[1]), REGION);
    let table = Table::read(&client, TABLE).await?;
    drop(process);
    let history = load.history();
    let findings = invariants::check(&table, &history);
    let report = Report {
        history: &history,
        faults: &[("kill".to_owned(), args.kills)],
        findings: &findings,
        duration,
        more: vec![
            sweeps.into_inner().unwrap_or_default().to_string(),
            format!("{} items in the table", table.items.len()),
        ],
    };
    println!("{report}");
    if findings.violations.is_empty() {
        first_starts(&around.setup, args.first_starts, addresses).await?;
    }
    let logs = around.end(!findings.violations.is_empty());
    report::verdict(&findings, seed, logs.as_deref())
}

/// Kills the first start at moments that are spread over the creation of the table. Each file must work afterwards.
async fn first_starts(setup: &Setup, kills: u64, addresses: [SocketAddr; 2]) -> Result<(), String> {
    let began = Instant::now();
    let mut interrupted = 0;
    for kill in 0..kills {
        let file = setup.folder.join(format!("first-{kill}.db"));
        let name = file.to_string_lossy();
        let (api, dynamodb) = (addresses[0].to_string(), addresses[1].to_string());
        let options = ["--data", &name, "--addr", &api, "--dynamodb-addr", &dynamodb];
        let mut child = setup
            .command("first", &options)?
            .spawn()
            .map_err(|error| error.to_string())?;
        let written = CREATION_BYTES * kill / kills;
        let started = Instant::now();
        while log_size(&file) < written && started.elapsed() < Duration::from_secs(2) {
            tokio::task::yield_now().await;
        }
        child.kill().await.map_err(|error| error.to_string())?;
        interrupted += usize::from(with_suffix(&file, ".new").exists());
        let process = setup.start_on(&file, addresses).await?;
        let load = Load::new(kill, vec![addresses[0]], 0);
        load.prepare().await?;
        let client = dynamodb::client(&format!("http://{dynamodb}"), REGION);
        let table = Table::read(&client, TABLE).await?;
        let findings = invariants::check(&table, &load.history());
        process.kill().await?;
        if let Some(violation) = findings.violations.first() {
            return Err(format!("after a kill at {written} bytes: {violation}"));
        }
    }
    println!(
        "{kills} kills of the first start in {:.0} s, {interrupted} of them while the table was created: each file works",
        began.elapsed().as_secs_f64()
    );
    match interrupted {
        0 if kills > 0 => Err("no kill was while the table was created".to_owned()),
        _ => Ok(()),
    }
}

/// The size of the write-ahead log of the file or of its copy.
fn log_size(file: &Path) -> u64 {
    let size = |suffix: &str| fs::metadata(with_suffix(file, suffix)).map_or(0, |file| file.len());
    size("-wal").max(size(".new-wal"))
}

fn with_suffix(file: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An address that is free now. The process gets the same one after each kill.
async fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(|error| error.to_string())
}
