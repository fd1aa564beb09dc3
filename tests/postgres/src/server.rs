//! One server: its folder, its port, its life.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{DATABASE, HOST, Installation, PASSWORD, USER};

/// Another program may take the free port before the server does.
const PORT_ATTEMPTS: u32 = 5;

/// Starts the server, says `ready`, waits until standard input closes, stops it and removes the folder.
/// Arguments: `pg_ctl`, the folder, the server's options.
const WATCH: &str = r#"
"$1" -D "$2/data" -w -l "$2/log" -o "$3" start >/dev/null </dev/null || exit 1
echo ready
read -r line
"$1" -D "$2/data" -m immediate stop >/dev/null 2>&1
cd / && rm -rf "$2"
"#;

/// Settings that make a server quick to start and careless about its data when the machine (not the server) dies.
const QUICK: [(&str, &str); 4] =
    [("fsync", "off"), ("full_page_writes", "off"), ("shared_buffers", "32MB"), ("max_wal_senders", "2")];

/// How a server is to be.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Certificate chain and private key, both PEM: the server then offers TLS.
    pub tls: Option<(String, String)>,
    /// Settings of `postgresql.conf`. Values may hold no single quote.
    pub settings: Vec<(String, String)>,
    /// Replaces `pg_hba.conf`; by default a password (SCRAM-SHA-256) is asked for, with or without TLS.
    pub hba: Option<String>,
}

/// A running (or deliberately stopped) server; dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    port: u16,
    settings: Vec<(String, String)>,
    watch: Option<Watch>,
    /// Dropped, and so removed, after the server was ended.
    folder: Folder,
}

/// A folder that goes with its owner, even when the server in it never ran.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Usually the watching shell has removed it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Deref for Folder {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

/// The shell that watches a server. Its end is the server's.
#[derive(Debug)]
struct Watch {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    /// Makes a database and starts a server on it. Takes one to four seconds.
    ///
    /// # Errors
    /// When a program fails, with what it said.
    pub fn start(installation: &Installation, options: &Options) -> io::Result<Self> {
        let folder = temporary_folder(installation)?;
        let password = folder.join("password");
        write_private(&password, PASSWORD)?;
        let mut settings = options.settings.clone();
        if let Some((chain, key)) = &options.tls {
            write_private(&folder.join("server.crt"), chain)?;
            write_private(&folder.join("server.key"), key)?;
            settings.push(("ssl".into(), "on".into()));
            settings.push(("ssl_cert_file".into(), folder.join("server.crt").display().to_string()));
            settings.push(("ssl_key_file".into(), folder.join("server.key").display().to_string()));
        }
        installation.hand_over(&folder)?;
        let mut initdb = installation.program("initdb", &folder);
        initdb.arg("-D").arg(folder.join("data")).args(["-U", USER]).arg("--pwfile").arg(&password);
        run(initdb.args(["-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync"]))?;
        if let Some(hba) = &options.hba {
            fs::write(folder.join("data/pg_hba.conf"), hba)?;
        }
        Self::launch(installation.clone(), folder, settings)
    }

    /// A copy of this server's data as it is now, following it as a hot standby: a server of its own that answers
    /// reads and refuses writes until it is promoted.
    ///
    /// # Errors
    /// When a program fails, with what it said.
    pub fn replica(&self) -> io::Result<Self> {
        let folder = temporary_folder(&self.installation)?;
        let mut copy = self.installation.program("pg_basebackup", &folder);
        copy.arg("-D").arg(folder.join("data")).args(["-R", "-c", "fast", "--no-sync"]);
        run(self.connected(&mut copy))?;
        Self::launch(self.installation.clone(), folder, self.settings.clone())
    }

    /// Makes a replica a primary.
    ///
    /// # Errors
    /// When it is not a replica.
    pub fn promote(&self) -> io::Result<()> {
        self.control(&["-w", "promote"])
    }

    /// Ends the server at once, as a crash would. [`Server::restart`] brings it back.
    ///
    /// # Errors
    /// When it does not run.
    pub fn crash(&self) -> io::Result<()> {
        self.control(&["-m", "immediate", "stop"])
    }

    /// Starts the server again on the same port, after ending it at once if it runs.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self) -> io::Result<()> {
        let options = server_options(&self.folder, self.port, &self.settings);
        let log = self.folder.join("log").display().to_string();
        self.control(&["-m", "immediate", "-w", "-l", &log, "-o", &options, "restart"])
    }

    /// Runs statements as the superuser, and gives what they return: one line per row, columns divided by `|`.
    ///
    /// # Errors
    /// When a statement fails, with what the server said.
    pub fn execute(&self, statements: &str) -> io::Result<String> {
        let mut psql = self.installation.program("psql", &self.folder);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, "-f", "-"]);
        self.connected(&mut psql).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(statements.as_bytes())?;
        }
        output_of("psql", child.wait_with_output()?)
    }

    /// Where everything of this server is, its Unix socket included.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection string for the superuser, without TLS.
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@{HOST}:{}/{DATABASE}", self.port)
    }

    /// What the server has logged so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.folder.join("log"))
    }

    fn launch(
        installation: Installation,
        folder: Folder,
        settings: Vec<(String, String)>,
    ) -> io::Result<Self> {
        let mut server = Self { installation, folder, port: 0, settings, watch: None };
        for attempt in 1.. {
            server.port = free_port()?;
            match server.start_watched() {
                Ok(watch) => {
                    server.watch = Some(watch);
                    break;
                }
                Err(error) if attempt == PORT_ATTEMPTS => return Err(error),
                Err(_) => {}
            }
        }
        Ok(server)
    }

    fn start_watched(&self) -> io::Result<Watch> {
        let mut command = self.installation.command("sh", &self.folder);
        command.args(["-c", WATCH, "sh"]).arg(self.installation.path_of("pg_ctl")).arg(&*self.folder);
        command.arg(server_options(&self.folder, self.port, &self.settings));
        // A group of its own: Ctrl-C at a terminal reaches the one who started it, who then lets go of standard input.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim() == "ready" {
            return Ok(Watch { child, stdin });
        }
        drop(stdin);
        child.wait()?;
        Err(io::Error::other(self.log().unwrap_or_else(|_| "the server left no log".to_owned())))
    }

    fn control(&self, arguments: &[&str]) -> io::Result<()> {
        let mut command = self.installation.program("pg_ctl", &self.folder);
        // The server inherits what pg_ctl has; a pipe of ours would never close.
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let status = command.stderr(Stdio::null()).status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("pg_ctl {arguments:?}: {status}")))
        }
    }

    fn connected<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let port = self.port.to_string();
        command.env("PGPASSWORD", PASSWORD).args(["-h", HOST, "-p", &port, "-U", USER])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            drop(watch.stdin.take());
            let _ = watch.child.wait();
        }
    }
}

/// The value of `pg_ctl -o`, which a shell reads.
fn server_options(folder: &Path, port: u16, settings: &[(String, String)]) -> String {
    let mut options = format!("-p {port} -h {HOST} -k {}", folder.display());
    let quick = QUICK.iter().map(|&(name, value)| (name, value));
    for (name, value) in quick.chain(settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        options.push_str(&format!(" -c '{name}={value}'"));
    }
    options
}

/// A new folder that only the server's user can enter.
fn temporary_folder(installation: &Installation) -> io::Result<Folder> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("ferrata-postgres-{}-{number}", std::process::id()));
    fs::create_dir(&folder)?;
    let folder = Folder(folder);
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700))?;
    installation.hand_over(&folder)?;
    Ok(folder)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((HOST, 0))?.local_addr()?.port())
}

/// Runs a program to its end and gives what it wrote.
pub(crate) fn run(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().display().to_string();
    output_of(&name, command.stdin(Stdio::null()).output()?)
}

fn output_of(name: &str, output: std::process::Output) -> io::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{name}: {}: {}", output.status, said.trim())))
}
