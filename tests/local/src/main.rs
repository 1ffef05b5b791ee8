//! The command `cargo local`: arguments, logs and exit status.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use local::{
    environment::Environment,
    hosts, reverify,
    run::{self, Options},
    token,
};
use shared::{models::time::Timestamp, store::PageRequest};
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
    /// Prints a page of the hosts that the running server serves, as the function `hosts` returns it
    Hosts(HostsArgs),
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
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = token::TTL,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(1..)
    )]
    ttl: i64,
}

#[derive(Args)]
struct ReverifyArgs {
    /// The address of the running server's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = run::server_address)]
    addr: String,
    /// The time that the function takes as the present (2026-11-23T17:00:00Z), instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// The same, as a number of hours from now
    #[arg(long = "in", value_name = "HOURS", conflicts_with = "at")]
    hours: Option<u16>,
}

#[derive(Args)]
struct HostsArgs {
    /// The address of the running server's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = run::server_address)]
    addr: String,
    /// The maximum number of hosts, from 1 to 1000 (default: 1000)
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=i64::from(PageRequest::MAX)))]
    limit: Option<u16>,
    /// The nextCursor of the previous page
    #[arg(long)]
    cursor: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let variable = |name: &str| std::env::var(name).ok();
    let result = match cli.command {
        Some(Command::Token(TokenArgs { org, role, sub, ttl })) => {
            token::sign_for(&Environment::new(&variable), &org, &role, &sub, ttl)
                .await
                .map(print)
        }
        Some(Command::Reverify(ReverifyArgs { addr, at, hours })) => {
            let from_now = |hours| Timestamp::now() + Duration::from_secs(3600 * u64::from(hours));
            reverify::request(&addr, at.or(hours.map(from_now)))
                .await
                .map(print)
        }
        Some(Command::Hosts(HostsArgs { addr, limit, cursor })) => {
            hosts::request(&addr, limit, cursor.as_deref()).await.map(print)
        }
        None => {
            init_logs(&Environment::new(&variable));
            run::run(cli.options, &variable).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints the help, or an error of the arguments in one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = first.split_whitespace().collect();
    print_error(words.join(" "));
    ExitCode::from(2)
}

/// Prints a line. A closed standard output is not an error: `cargo local token | head -0`.
fn print(text: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints a line on standard error, which can be closed too.
fn print_error(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
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
        .with_writer(io::stderr)
        .log_internal_errors(false) // It panics where standard error is closed.
        .init();
}
