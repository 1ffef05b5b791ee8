//! Processes of `cargo local`.

use std::{
    convert::Infallible,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use local::{environment::PORTAL_DOMAIN, fault::Proxy};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::sleep,
};

/// How long a process may take to start.
const START: Duration = Duration::from_secs(60);
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Where the processes find what they need.
#[derive(Clone)]
pub struct ProcessSetup {
    /// The DNS server that is the resolver and all authoritative servers.
    pub dns: SocketAddr,
    /// The edge that the certificates are requested from.
    pub edge: SocketAddr,
    /// The directory for logs and data.
    pub folder: PathBuf,
}

/// A running process. Dropping it kills it.
pub struct Process {
    child: Child,
    /// The address of the API.
    pub address: SocketAddr,
}

impl ProcessSetup {
    /// The command with these options, whose log is appended to the file `<name>.log`.
    ///
    /// # Errors
    /// The program or the log cannot be used.
    pub fn command(&self, name: &str, options: &[&str]) -> Result<Command, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let program = own.with_file_name("local");
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log(name))
            .map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command
            .args(["--no-schedule", "--dns-addr", "127.0.0.1:0"])
            .args(options)
            .env_clear()
            .envs([
                ("DNS_RESOLVERS", self.dns.to_string()),
                ("DNS_AUTHORITY_PORT", self.dns.port().to_string()),
                ("EDGE_PORT", self.edge.port().to_string()),
                ("PORTAL_DOMAIN", PORTAL_DOMAIN.to_owned()),
                // Low enough that the operations of the trial reach them.
                ("MAX_CLIENTS", "40".to_owned()),
                ("MAX_DOMAINS", "30".to_owned()),
                ("RUST_LOG", "error".to_owned()),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Starts a process that uses the DynamoDB behind this proxy.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_with(&self, proxy: &Proxy, name: &str) -> Result<Process, String> {
        let endpoint = format!("http://{}", proxy.address());
        let options = ["--addr", "127.0.0.1:0", "--dynamodb-endpoint", &endpoint];
        self.start(name, &options).await
    }

    /// Starts a process with its own database in this file, at these addresses.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_on(&self, file: &Path, [api, dynamodb]: [SocketAddr; 2]) -> Result<Process, String> {
        let (file, api, dynamodb) = (file.to_string_lossy(), api.to_string(), dynamodb.to_string());
        let options = ["--data", &file, "--addr", &api, "--dynamodb-addr", &dynamodb];
        self.start("local", &options).await
    }

    async fn start(&self, name: &str, options: &[&str]) -> Result<Process, String> {
        let mut child = self
            .command(name, options)?
            .spawn()
            .map_err(|error| format!("`local` cannot be started: {error}; build it first"))?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let address = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = line.strip_prefix("API       http://") {
                    return url.parse().ok();
                }
            }
            None
        };
        let found = tokio::time::timeout(START, address).await.ok().flatten();
        let log = self.log(name);
        let address = found.ok_or_else(|| format!("`local` did not start: see {}", log.display()))?;
        // It prints the changes of domains, and would wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Process { child, address })
    }
}

/// Waits until a process ends by itself.
///
/// # Errors
/// It has ended.
pub async fn watch(processes: &mut [Process]) -> Result<Infallible, String> {
    loop {
        sleep(WATCH_EVERY).await;
        processes.iter_mut().try_for_each(Process::check_running)?;
    }
}

impl Process {
    /// Checks that it runs.
    ///
    /// # Errors
    /// It has ended by itself.
    pub fn check_running(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("a process of the API ended by itself: {status}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// It has ended by itself.
    pub async fn kill(mut self) -> Result<(), String> {
        self.check_running()?;
        self.child.kill().await.map_err(|error| error.to_string())
    }
}
