//! Processes that are killed: under load, and while they create their data file.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::Client;
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
    process::ProcessSetup,
    report::{self, TrialReport},
    table::TableItems,
    trial::{self, TrialEnvironment},
};

/// How long a process runs before it is killed, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 200..2500;
/// How long the process after every fifth kill runs, so that sweeps end too. One takes about 4 s under load.
const LONG_LIFE: Duration = Duration::from_secs(6);
const CLIENTS: usize = 16;
/// After how many kills the invariants are checked.
const CHECK_EVERY: usize = 5;
/// How long the table does not change before the invariants are checked.
const SETTLED: Duration = Duration::from_secs(1);
/// About how many bytes the creation of the table writes to the log of the embedded database.
const CREATION_BYTES: u64 = 90_000;

#[derive(Args)]
pub struct KillArgs {
    /// The number of kills under load. The invariants are checked after every fifth one and the last one
    #[arg(default_value_t = 50)]
    kills: usize,
    /// The number of kills during the first start
    #[arg(long, default_value_t = 60)]
    first_starts: u64,
    /// The source of the random choices (default: a random one, which is printed)
    #[arg(long)]
    seed: Option<u64>,
}

/// Kills `cargo local --data FILE`, and prints a report. After every fifth kill and the last one, the clients and the sweeps stop and
/// the invariants are checked. Then they continue.
///
/// # Errors
/// It cannot be run, a start fails, a process ends by itself, or an invariant is violated.
pub async fn run(args: KillArgs) -> Result<(), String> {
    let seed = trial::seed(args.seed);
    let environment = TrialEnvironment::start().await?;
    environment.end(run_in(&environment, &args, seed).await)
}

async fn run_in(environment: &TrialEnvironment, args: &KillArgs, seed: u64) -> Result<(), String> {
    let file = environment.setup.folder.join("data.db");
    let addresses = [free_address().await?, free_address().await?];
    let mut process = environment.setup.start_on(&file, addresses).await?;
    let load = Arc::new(Load::new(seed, vec![addresses[0]], usize::MAX));
    let began = Instant::now();
    load.prepare().await?;
    let client = dynamodb::client(&format!("http://{}", addresses[1]), REGION);
    let sweeps = Mutex::new(Sweeps::default());
    let [mut rng, mut of_sweeps, mut of_records] = [0, 2, 3].map(|number| load::rng(seed, u64::MAX - number));
    let (mut kills, mut checks) = (0, 0);
    let (table, history, findings) = loop {
        load.resume();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let load = Arc::clone(&load);
            clients.spawn(async move { load.work().await });
        }
        let next = args.kills.min(kills + CHECK_EVERY);
        let kill = async {
            let mut process = process;
            for _ in kills..next {
                sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
                process.kill().await?;
                process = environment.setup.start_on(&file, addresses).await?;
            }
            sleep(LONG_LIFE).await;
            Ok::<_, String>(process)
        };
        process = tokio::select! {
            process = kill => process?,
            never = environment::change_records(&environment.dns, &load, &mut of_records) => match never? {},
            never = environment::sweep(&addresses[..1], &mut of_sweeps, &sweeps) => match never {},
        };
        kills = next;
        load.stop();
        clients.join_all().await;
        process.check_running()?;
        let table = settled(&client).await?;
        let history = load.history();
        let findings = invariants::check(&table, &history);
        checks += 1;
        if kills == args.kills || !findings.violations.is_empty() {
            break (table, history, findings);
        }
    };
    let duration = began.elapsed();
    drop(process);
    let report = TrialReport {
        history: &history,
        faults: &[("kill".to_owned(), kills)],
        findings: &findings,
        sweeps: sweeps.into_inner().unwrap_or_default(),
        duration,
        more: vec![
            format!("{checks} times all invariants, the last time with these figures"),
            format!("{} items in the table", table.items.len()),
        ],
    };
    println!("{report}");
    report::verdict(&findings.violations, seed)?;
    first_starts(&environment.setup, args.first_starts, addresses).await
}

/// The table when nothing writes any more: a sweep that was in progress may still do so.
async fn settled(client: &Client) -> Result<TableItems, String> {
    let mut table = TableItems::read(client, TABLE).await?;
    loop {
        sleep(SETTLED).await;
        let next = TableItems::read(client, TABLE).await?;
        if next == table {
            return Ok(table);
        }
        table = next;
    }
}

/// Kills the first start at moments that are spread over the creation of the table. Each file must work afterwards.
async fn first_starts(setup: &ProcessSetup, kills: u64, addresses: [SocketAddr; 2]) -> Result<(), String> {
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
        let table = TableItems::read(&client, TABLE).await?;
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
