//! The command `cargo local`: arguments, logs and exit status.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use local::{
    environment::Environment,
    reverify,
    run::{self, Options},
    token,
};
use shared::models::time::Timestamp;
use tracing_subscriber::EnvFilter;

/// Runs the Agency API on one machine: the API, an embedded DynamoDB and a DNS server
#[derive(Parser)]
#[command(bin_name = "cargo local", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Prints a token that the server accepts
    Token(TokenArgs),
    /// Runs the scheduled function once in the running server, and prints its report
    Reverify(ReverifyArgs),
}

#[derive(Args)]
struct TokenArgs {
    /// The organization that the user acts for
    #[arg(long)]
    org: String,
    /// The user's role in it
    #[arg(long, value_parser = ["owner", "admin", "member"])]
    role: String,
    /// The user's id
    #[arg(long, default_value = "user_demo")]
    sub: String,
    /// How long the token is valid
    #[arg(long, value_name = "SECONDS", default_value_t = token::TTL, allow_negative_numbers = true)]
    ttl: i64,
}

#[derive(Args)]
struct ReverifyArgs {
    /// The address of the running server's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    addr: SocketAddr,
    /// The time that the function takes as the present (2026-11-23T17:00:00Z), instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// The same, as a number of hours from now
    #[arg(long = "in", value_name = "HOURS", conflicts_with = "at")]
    hours: Option<u16>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let variable = |name: &str| std::env::var(name).ok();
    let result = match cli.command {
        Some(Command::Token(TokenArgs { org, role, sub, ttl })) => {
            token::sign_for(&Environment::new(&variable), &org, &role, &sub, ttl)
                .map(|token| println!("{token}"))
        }
        Some(Command::Reverify(ReverifyArgs { addr, at, hours })) => {
            let from_now = |hours| Timestamp::now() + Duration::from_secs(3600 * u64::from(hours));
            reverify::request(addr, at.or(hours.map(from_now)))
                .await
                .map(|report| println!("{report}"))
        }
        None => {
            init_logs(&Environment::new(&variable));
            run::run(cli.options, &variable).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends logs as text to standard error. `RUST_LOG` and `AWS_LAMBDA_LOG_LEVEL` set the level of the API's logs. The
/// emulators log warnings and errors only.
fn init_logs(environment: &Environment<'_>) {
    let level = environment
        .set("RUST_LOG")
        .or(environment.set("AWS_LAMBDA_LOG_LEVEL"));
    // The embedded database logs a warning for each failed condition, which is part of normal operation.
    let quiet = "dynoxide=error,hickory_server=warn,hickory_net=warn";
    let filter = format!("{quiet},{}", level.as_deref().unwrap_or("info"));
    let filter = EnvFilter::builder().parse_lossy(filter);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
