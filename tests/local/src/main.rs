//! `cargo local`: the whole system on one machine.

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

/// The whole Agency API on one machine: the API, an embedded DynamoDB and a DNS server
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
    /// Prints a token that the server takes
    Token(Token),
    /// Runs the schedule's function once against the running server, and prints its report
    Reverify(Reverify),
}

#[derive(Args)]
struct Token {
    /// The organization the user acts for
    #[arg(long)]
    org: String,
    /// What the user may do there
    #[arg(long, value_parser = ["owner", "admin", "member"])]
    role: String,
    /// The user
    #[arg(long, default_value = "user_demo")]
    sub: String,
    /// How long the token is good for
    #[arg(long, value_name = "SECONDS", default_value_t = token::TTL, allow_negative_numbers = true)]
    ttl: i64,
}

#[derive(Args)]
struct Reverify {
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    addr: SocketAddr,
    /// As of this time (2026-11-23T17:00:00Z), not of now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// As of so many hours from now
    #[arg(long = "in", value_name = "HOURS", conflicts_with = "at")]
    hours: Option<u16>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let variable = |name: &str| std::env::var(name).ok();
    let result = match cli.command {
        Some(Command::Token(Token { org, role, sub, ttl })) => {
            token::sign_for(&Environment::new(&variable), &org, &role, &sub, ttl)
                .map(|token| println!("{token}"))
        }
        Some(Command::Reverify(Reverify { addr, at, hours })) => {
            let then = |hours| Timestamp::now() + Duration::from_secs(3600 * u64::from(hours));
            reverify::ask(addr, at.or(hours.map(then)))
                .await
                .map(|report| println!("{report}"))
        }
        None => {
            log(&Environment::new(&variable));
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

/// Logs for a person to read, of what the API does; the emulators' own only from warnings on, or as `RUST_LOG` says.
fn log(environment: &Environment<'_>) {
    let level = environment
        .set("RUST_LOG")
        .or(environment.set("AWS_LAMBDA_LOG_LEVEL"));
    // The embedded database warns of each condition that fails, which is how conditions work.
    let quiet = "dynoxide=error,hickory_server=warn,hickory_net=warn";
    let filter = format!("{quiet},{}", level.as_deref().unwrap_or("info"));
    let filter = EnvFilter::builder().parse_lossy(filter);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
