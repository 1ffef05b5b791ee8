//! Measures cold starts and warm requests of the release binaries, beside the least program that does the same work
//! (`tests/bench/floor`). `.ci/bench start` builds what it needs and runs it.
//!
//! Each function runs under a stand-in of the Lambda runtime API, with the share of a core that Lambda gives it by its memory size.
//! DynamoDB is the embedded one of `cargo local`, in a process of its own, behind a proxy with and without TLS. Each program parses the
//! root certificates that it parses in AWS, and that of the proxy: the least program, with the SDK's defaults, those of the machine,
//! and the functions Amazon's five.
//!
//! Times are printed. The benchmark fails if a ratio to the least program is worse than in the committed figures by more than the spread
//! of this run. The ratio of a cold start is that of CPU time, which depends little on what else the machine does.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use clap::Parser;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

mod cgroup;
mod figures;
mod function;
mod proxy;
mod runtime;

use cgroup::{Cgroup, MEMORY_OF_A_CORE};
use figures::{Figures, FunctionFigures, LEAST_SPREAD, Ratio, Times, quantile};
use function::{Cpu, Environment, Life, Program};
use proxy::CountingProxy;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The least program.
const FLOOR: &str = "floor";
/// The programs, and the event that each gets.
const PROGRAMS: [(&str, &str); 8] = [
    (FLOOR, "branding/getBranding"),
    ("agency", "agency/getAgencyOverview"),
    ("branding", "branding/getBranding"),
    ("clients", "clients/listClientOrgs"),
    ("portal", "portal/getPortalContext"),
    ("domains", "domains/listPortalDomains"),
    ("reverify", "reverify/schedule"),
    ("hosts", "hosts/page"),
];
/// The invocations that fill the table.
const FILL: [(&str, &str); 5] = [
    ("agency", "agency/enableAgency"),
    ("branding", "branding/putBranding"),
    ("portal", "portal/putPortalConfig"),
    ("clients", "clients/createClientOrg"),
    ("domains", "domains/createPortalDomain"),
];
/// Memory sizes, in MB.
const SIZES: [u32; 5] = [128, 256, 512, 1_024, MEMORY_OF_A_CORE];
/// The memory size that a short run measures too: that of most functions in the template.
const USUAL: u32 = 512;
/// Warm invocations of a life with a whole core. One with less has a tenth.
const WARM: usize = 200;
/// Debian's bundle of root certificates.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Amazon's root certificates.
const AMAZON: &str = "shared/src/amazon-roots.pem";
const FIGURES: &str = "tests/bench/start/figures.json";

/// Measures cold starts and warm requests of the release binaries.
#[derive(Parser)]
struct Arguments {
    /// Measures 512 MB and a whole core with TLS only, without counting instructions.
    #[arg(long)]
    short: bool,
    /// The lives of each program in each setting.
    #[arg(long, default_value_t = 15)]
    lives: usize,
    /// Only these functions, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes the figures to the file that is committed, instead of comparing them with it.
    #[arg(long, conflicts_with_all = ["short", "lives", "only"])]
    record: bool,
    /// The directory of the binaries.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
}

/// One kind of start.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Setting {
    /// In MB.
    memory: u32,
    tls: bool,
    /// Whether the start has a whole core whatever the memory size, as Lambda gives it.
    boost: bool,
}

impl Setting {
    /// With TLS, and the same share of a core during the start as later.
    fn plain(memory: u32) -> Self {
        Self {
            memory,
            tls: true,
            boost: false,
        }
    }

    fn name(self) -> String {
        let Self { memory, tls, boost } = self;
        let transport = if tls { "TLS" } else { "HTTP" };
        format!("{memory} MB, {transport}{}", if boost { ", boost" } else { "" })
    }

    fn cpu(self) -> Cpu {
        let share = f64::from(self.memory) / f64::from(MEMORY_OF_A_CORE);
        Cpu {
            init: if self.boost { 1.0 } else { share },
            share,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match benchmark(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn benchmark(arguments: Arguments) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("start-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let committed = match arguments.record {
        true => None,
        false => Some(Figures::read(Path::new(FIGURES))?),
    };
    let result = measure(&arguments, &directory).await;
    let removed = fs::remove_dir_all(&directory);
    let figures = result?;
    removed?;
    let Some(committed) = committed else {
        return figures.write(Path::new(FIGURES));
    };
    match figures.worse_than(&committed).as_slice() {
        [] => Ok(()),
        worse => Err(worse.join("\n").into()),
    }
}

async fn measure(arguments: &Arguments, directory: &Path) -> Result<Figures> {
    let (tls, authority) = proxy::tls()?;
    let mut environment = environment()?;
    let database = DatabaseProcess::start(&environment).await?;
    environment.insert("DNS_RESOLVERS".to_owned(), database.dns.to_string());
    let with_roots = |others: &str, name: &str| -> Result<Environment> {
        let bundle = directory.join(name);
        fs::write(&bundle, fs::read_to_string(others)? + &authority)?;
        let mut environment = environment.clone();
        environment.insert("SSL_CERT_FILE".to_owned(), bundle.display().to_string());
        Ok(environment)
    };
    let of_least = with_roots(BUNDLE, "roots.pem")?;
    let of_functions = with_roots(AMAZON, "amazon.pem")?;
    let plain = CountingProxy::start(database.address, None).await?;
    let encrypted = CountingProxy::start(database.address, Some(tls)).await?;
    let program = |(name, event): (&'static str, &str)| -> Result<Program<'_>> {
        Ok(Program {
            name,
            binary: arguments.binaries.join(name),
            environment: if name == FLOOR { &of_least } else { &of_functions },
            event: fs::read(format!("events/{event}.json"))?.into(),
        })
    };
    for invocation in FILL {
        program(invocation)?.live(&plain, 0, None).await?;
    }

    let cgroup = match Cgroup::new() {
        Ok(cgroup) => Some(cgroup),
        Err(error) => {
            println!("This machine has no writable cgroup ({error}): only a whole core is measured.\n");
            None
        }
    };
    let settings = settings(arguments.short, cgroup.is_some());
    let is_wanted = |name: &str| {
        arguments.only.is_empty() || name == FLOOR || arguments.only.iter().any(|only| only == name)
    };
    let mut programs = Vec::new();
    for of_program in PROGRAMS.into_iter().filter(|(name, _)| is_wanted(name)) {
        let program = program(of_program)?;
        // The first start reads the binary from the disk.
        program.live(&plain, 0, None).await?;
        programs.push(program);
    }
    // By setting and program. Alternating, so that what else the machine does affects all alike.
    let mut measured: Vec<Vec<Vec<Life>>> = settings
        .iter()
        .map(|_| programs.iter().map(|_| Vec::new()).collect())
        .collect();
    for _ in 0..arguments.lives {
        for (setting, of_setting) in settings.iter().zip(&mut measured) {
            let proxy = if setting.tls { &encrypted } else { &plain };
            let warm = if setting.memory == MEMORY_OF_A_CORE {
                WARM
            } else {
                WARM / 10
            };
            let cpu = cgroup.as_ref().map(|cgroup| (cgroup, setting.cpu()));
            for (program, lives) in programs.iter().zip(of_setting) {
                lives.push(program.live(proxy, warm, cpu).await?);
            }
        }
    }

    let mut functions = BTreeMap::new();
    for (index, program) in programs.iter().enumerate() {
        let mut function = summarize(&settings, &measured, index)?;
        (function.binary, function.zipped) = sizes(&program.binary).await?;
        if !arguments.short {
            function.instructions = Some(program.instructions(&plain).await?);
        }
        functions.insert(program.name.to_owned(), function);
    }
    add_exact_ratios(&mut functions);
    let figures = Figures {
        machine: machine()?,
        date: time::OffsetDateTime::now_utc().date().to_string(),
        functions,
    };
    print(&figures, &programs, &settings);
    Ok(figures)
}

fn settings(short: bool, has_cgroup: bool) -> Vec<Setting> {
    let mut settings = Vec::new();
    for memory in SIZES {
        let is_core = memory == MEMORY_OF_A_CORE;
        if !(is_core || has_cgroup && (memory == USUAL || !short)) {
            continue;
        }
        let plain = Setting::plain(memory);
        settings.push(plain);
        if !short {
            settings.push(Setting { tls: false, ..plain });
        }
        if !short && !is_core {
            settings.push(Setting { boost: true, ..plain });
        }
    }
    settings
}

/// The figures of a program, except for its size and its instructions. The first program is the least one.
fn summarize(settings: &[Setting], measured: &[Vec<Vec<Life>>], index: usize) -> Result<FunctionFigures> {
    let mut times = BTreeMap::new();
    let mut ratios = BTreeMap::new();
    let mut cpu = [0.0; 2];
    let mut memory = 0;
    let mut warm = [0.0; 2];
    let mut last = None;
    for (setting, of_setting) in settings.iter().zip(measured) {
        let own = of_setting.get(index).ok_or("no program")?;
        let least = of_setting.first().ok_or("no program")?;
        let part =
            |of: fn(&Life) -> f64, part| round(quantile(&mut own.iter().map(of).collect::<Vec<_>>(), part));
        let all = || own.iter().flat_map(|life| &life.warm).map(|time| ms(*time));
        let ratio =
            |of: fn(&Life) -> f64| Ratio::of(own.iter().zip(least).map(|(own, least)| (of(own), of(least))));
        let of_setting = Times {
            start: part(|life| ms(life.init), 0.5),
            first: part(|life| ms(life.first), 0.5),
            p99: part(|life| ms(life.init + life.first), 0.99),
            warm: round(all().sum::<f64>() / all().count() as f64),
        };
        times.insert(setting.name(), of_setting);
        if *setting == Setting::plain(MEMORY_OF_A_CORE) {
            cpu = [
                part(|life| ms(life.init_cpu), 0.5),
                part(|life| ms(life.first_cpu), 0.5),
            ];
            ratios.insert(
                "cold start".to_owned(),
                ratio(|life| ms(life.init_cpu + life.first_cpu)),
            );
            let mut all: Vec<_> = all().collect();
            warm = [0.5, 0.99].map(|part| round(quantile(&mut all, part)));
            ratios.insert("warm request".to_owned(), ratio(warm_median));
            memory = part(|life| life.memory as f64, 0.5) as u64;
            ratios.insert("memory".to_owned(), ratio(|life| life.memory as f64));
            last = own.last();
        }
    }
    let life = last.ok_or("no life")?;
    let each = |number: u64| number as f64 / life.warm.len() as f64;
    Ok(FunctionFigures {
        binary: 0,
        zipped: 0,
        memory,
        requests: [
            life.init_traffic.requests as f64,
            life.first_traffic.requests as f64,
            each(life.warm_traffic.requests),
        ],
        bytes: each(life.warm_traffic.bytes).round(),
        instructions: None,
        cpu,
        warm,
        settings: times,
        ratios,
    })
}

fn warm_median(life: &Life) -> f64 {
    quantile(
        &mut life.warm.iter().map(|time| ms(*time)).collect::<Vec<_>>(),
        0.5,
    )
}

/// The ratios of figures that do not vary between runs.
fn add_exact_ratios(functions: &mut BTreeMap<String, FunctionFigures>) {
    let Some(floor) = functions.get(FLOOR) else { return };
    let (binary, instructions) = (floor.binary, floor.instructions);
    for function in functions.values_mut() {
        let exact = |own: u64, least: u64| Ratio {
            median: own as f64 / least as f64,
            spread: LEAST_SPREAD,
        };
        let ratio = exact(function.binary, binary);
        function.ratios.insert("binary".to_owned(), ratio);
        if let (Some(own), Some(least)) = (function.instructions, instructions) {
            function
                .ratios
                .insert("instructions".to_owned(), exact(own, least));
        }
    }
}

fn print(figures: &Figures, programs: &[Program<'_>], settings: &[Setting]) {
    println!("{}, {}\n", figures.machine, figures.date);
    println!("With a whole core and TLS. In parentheses: the ratio to the least program.\n");
    table_row(
        "program",
        [
            "CPU time of start and first invocation".to_owned(),
            "warm p50".to_owned(),
            "p99".to_owned(),
            "peak memory".to_owned(),
            "binary".to_owned(),
            "zipped".to_owned(),
            "requests: start, first, warm".to_owned(),
            "bytes".to_owned(),
            "instructions".to_owned(),
        ],
    );
    println!("|{}", "---|".repeat(10));
    let functions = || {
        programs
            .iter()
            .filter_map(|program| figures.functions.get_key_value(program.name))
    };
    for (name, function) in functions() {
        let with_ratio = |text: String, of: &str| match function.ratios.get(of) {
            Some(Ratio { median, spread }) => format!("{text} ({median:.2} ±{spread:.2})"),
            None => text,
        };
        let [start, first] = function.cpu;
        let start = format!("{start:.1} + {first:.1} ms");
        let [p50, p99] = function.warm;
        let memory = function.memory as f64 / 1024.0;
        let megabytes = |bytes: u64| format!("{:.2} MB", bytes as f64 / 1e6);
        let instructions = function
            .instructions
            .map_or("–".to_owned(), |count| count.to_string());
        let [in_start, in_first, in_warm] = function.requests;
        table_row(
            name,
            [
                with_ratio(start, "cold start"),
                with_ratio(format!("{p50:.2} ms"), "warm request"),
                format!("{p99:.2} ms"),
                with_ratio(format!("{memory:.1} MiB"), "memory"),
                with_ratio(megabytes(function.binary), "binary"),
                megabytes(function.zipped),
                format!("{in_start}, {in_first}, {in_warm}"),
                function.bytes.to_string(),
                with_ratio(instructions, "instructions"),
            ],
        );
    }
    println!(
        "\nIn ms: start + first invocation, 99th percentile of both; mean of a warm one. With boost, the start has a whole core.\n"
    );
    table_row("program", settings.iter().map(|setting| setting.name()));
    println!("|{}", "---|".repeat(settings.len() + 1));
    for (name, function) in functions() {
        let times = settings
            .iter()
            .filter_map(|setting| function.settings.get(&setting.name()));
        table_row(
            name,
            times.map(|times| {
                let Times {
                    start,
                    first,
                    p99,
                    warm,
                } = times;
                format!("{start:.1} + {first:.1}, {p99:.1}; {warm:.2}")
            }),
        );
    }
}

fn table_row(first: &str, cells: impl IntoIterator<Item = String>) {
    let cells: String = cells.into_iter().map(|cell| format!(" {cell} |")).collect();
    println!("| {first} |{cells}");
}

/// The environment of the functions: that of the events, without root certificates.
fn environment() -> Result<Environment> {
    let file: Value = serde_json::from_slice(&fs::read("events/env.json")?)?;
    let parameters = file["Parameters"]
        .as_object()
        .ok_or("events/env.json has no parameters")?;
    let parameters = parameters
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let mut environment: Environment = parameters.collect();
    for (name, value) in [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "measured"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "measured"),
        ("_HANDLER", "bootstrap"),
        // The embedded DynamoDB needs no permissions, and no other machine is asked.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(environment)
}

/// The size of a file, and that of its compressed form, in bytes.
async fn sizes(binary: &Path) -> Result<(u64, u64)> {
    let zipped = Command::new("gzip").arg("-9c").arg(binary).output().await?;
    if !zipped.status.success() {
        return Err(format!("gzip: {}", zipped.status).into());
    }
    Ok((fs::metadata(binary)?.len(), zipped.stdout.len() as u64))
}

fn machine() -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let names = || {
        processors
            .lines()
            .filter_map(|line| line.strip_prefix("model name"))
    };
    let name = names().next().and_then(|rest| rest.split_once(": "));
    let (_, name) = name.ok_or("/proc/cpuinfo has no model name")?;
    Ok(format!("{name}, {} cores", names().count()))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// The embedded DynamoDB and DNS, in a process of their own.
struct DatabaseProcess {
    address: SocketAddr,
    dns: SocketAddr,
    _process: Child,
}

impl DatabaseProcess {
    async fn start(environment: &Environment) -> Result<Self> {
        let free = || -> Result<SocketAddr> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?) };
        let (address, dns) = (free()?, free()?);
        let path = std::env::var_os("PATH").ok_or("no PATH")?;
        let home = std::env::var_os("HOME").ok_or("no HOME")?;
        let mut process =
            Command::new("cargo")
                .args(["local", "--no-schedule", "--addr", "127.0.0.1:0"])
                .args([
                    "--dynamodb-addr",
                    &address.to_string(),
                    "--dns-addr",
                    &dns.to_string(),
                ])
                .envs(environment.iter().filter(|(name, _)| {
                    !matches!(name.as_str(), "DNS_RESOLVERS" | "AWS_ENDPOINT_URL_DYNAMODB")
                }))
                .env("PATH", path)
                .env("HOME", home)
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
        for _ in 0..600 {
            if TcpStream::connect(address).await.is_ok() {
                // The table is made before the address accepts connections.
                return Ok(Self {
                    address,
                    dns,
                    _process: process,
                });
            }
            if process.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("`cargo local` does not respond".into())
    }
}
