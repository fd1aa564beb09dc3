//! The commands of `ferrata` and what they print.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};

use ferrata::admin;
use ferrata::app::{self, AppError};
use ferrata::audit::{Audit, Console};
use ferrata::call::{Answered, Ask, Caller, Client, Consent, ToolCall, ToolResult};
use ferrata::config::{self, Config};
use ferrata::connector;
use ferrata::credential::Keepings;
use ferrata::fault::Fault;
use ferrata::gate::{self, Authenticator, Catalog, Gate, Slot};
use ferrata::protocol::stdio;
use ferrata::reload::Reloader;
use ferrata::server::{self, Drain};
use ferrata::state::Store;
use ferrata::telemetry::{self, LogFormat, TraceContext};

use crate::exit;

/// A sidecar that carries an agent's tool calls to real systems, through sandboxed connectors.
///
/// Exit codes: 0 success, 1 a call ended in a fault, 64 wrong usage, 65 the configuration cannot work, 70 Ferrata failed.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: Log,
}

#[derive(Args)]
struct Log {
    /// Log lines as `human` or `json`; by default human on a terminal and JSON elsewhere. They go to standard error.
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged: a level, or `target=level` pairs separated by commas.
    #[arg(long, global = true, env = "FERRATA_LOG", default_value = "info")]
    log: String,
}

#[derive(Args)]
struct Common {
    /// The configuration.
    #[arg(short, long, env = "FERRATA_CONFIG", default_value = "ferrata.yaml")]
    config: PathBuf,
    #[command(flatten)]
    cache: Cache,
}

#[derive(Args)]
struct Cache {
    /// Folder for compiled components; only Ferrata's user may be able to write it [default: ~/.cache/ferrata/components].
    #[arg(long, env = "FERRATA_CACHE_FOLDER")]
    cache: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve agents over MCP and HTTP until SIGTERM or SIGINT, then finish what is in flight.
    Run {
        #[command(flatten)]
        common: Common,
        /// Write the bound addresses to this file, as JSON, once agents can connect.
        #[arg(long)]
        ready_file: Option<PathBuf>,
    },
    /// Serve one agent over MCP on standard input and output.
    Stdio {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        identity: Identity,
    },
    /// Check the configuration, load every connector and compare what it needs with what it is granted.
    Check {
        #[command(flatten)]
        common: Common,
    },
    /// List the tools that an agent sees.
    Tools {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        identity: Identity,
        /// Print the whole definitions, as MCP has them.
        #[arg(long)]
        json: bool,
    },
    /// Make one call and print its result, or the fault, as JSON.
    Call {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        identity: Identity,
        /// The tool, as `ferrata tools` names it.
        tool: String,
        /// Its arguments: a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
        /// Give up after so many milliseconds.
        #[arg(long)]
        timeout_ms: Option<u64>,
    },
    /// Print the status of a running Ferrata, as its control socket tells it.
    Status {
        #[command(flatten)]
        running: Running,
    },
    /// Print how the credentials of a running Ferrata stand: kind, version, age, end, next refresh, last error. Never a value.
    Credentials {
        #[command(flatten)]
        running: Running,
    },
    /// Compile components ahead of their use, for an image or an init container.
    Compile {
        #[command(flatten)]
        cache: Cache,
        /// The components' files.
        #[arg(required = true)]
        components: Vec<PathBuf>,
    },
    /// Print the JSON Schema of the configuration.
    Schema,
}

#[derive(Args)]
struct Running {
    /// The configuration that it runs with.
    #[arg(short, long, env = "FERRATA_CONFIG", default_value = "ferrata.yaml")]
    config: PathBuf,
    /// Its control socket, or address, instead of what the configuration says.
    #[arg(long)]
    control: Option<String>,
}

#[derive(Args)]
struct Identity {
    /// The agent in whose name this is done.
    #[arg(long, default_value = "default")]
    agent: String,
    /// A file with the token of the user for whom this is done: a JWT, checked as `agent.users` or `agent.auth.jwt` says.
    #[arg(long, value_name = "FILE")]
    subject_token: Option<PathBuf>,
}

impl Identity {
    async fn caller(&self, config: &Config) -> Result<Caller, AppError> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            text.map_err(|e| AppError::Config(format!("{} cannot be read: {e}", path.display())))
        };
        let token = self.subject_token.as_ref().map(read).transpose()?;
        let caller = gate::named(&config.agent, &self.agent, token.as_deref().map(str::trim_end)).await;
        caller.map_err(|why| AppError::Config(format!("--subject-token: {why}")))
    }
}

/// Does what was asked and returns the exit code.
pub async fn execute(arguments: Arguments) -> u8 {
    let format = arguments
        .log
        .log_format
        .unwrap_or_else(|| if std::io::stderr().is_terminal() { LogFormat::Human } else { LogFormat::Json });
    if let Err(why) = telemetry::init(format, &arguments.log.log) {
        eprintln!("ferrata: --log: {why}");
        return exit::USAGE;
    }
    let done = match arguments.command {
        Command::Run { common, ready_file } => run(&common, ready_file.as_deref()).await,
        Command::Stdio { common, identity } => serve_stdio(&common, &identity).await,
        Command::Check { common } => check(&common).await,
        Command::Tools { common, identity, json } => tools(&common, &identity, json).await,
        Command::Call { common, identity, tool, arguments, timeout_ms } => {
            call(&common, &identity, &tool, arguments, timeout_ms).await
        }
        Command::Status { running } => status(running).await,
        Command::Credentials { running } => credentials(running).await,
        Command::Compile { cache, components } => compile(&cache, &components),
        Command::Schema => print(&format!("{:#}", config::schema())),
    };
    match done {
        Ok(code) => code,
        Err(AppError::Config(what)) => {
            eprintln!("{what}");
            exit::CONFIG
        }
        Err(AppError::Internal(what)) => {
            eprintln!("ferrata: {what}");
            exit::INTERNAL
        }
    }
}

type Done = Result<u8, AppError>;

async fn run(common: &Common, ready_file: Option<&Path>) -> Done {
    app::run(&common.config, common.cache.cache.as_deref(), ready_file, drain_on_signal()?).await?;
    Ok(exit::OK)
}

async fn serve_stdio(common: &Common, identity: &Identity) -> Done {
    let config = config::load(&common.config).map_err(AppError::config)?;
    let (audit, writing) = Audit::start(config.audit.as_ref(), Console::Stderr).map_err(AppError::Config)?;
    let (cache, store) = (common.cache.cache.as_deref(), app::store(&config)?);
    let keepings = app::keepings(&config, &store)?;
    let managers = Arc::clone(&keepings.managers);
    let (gate, connectors) =
        app::gate(&config, Authenticator::open(), cache, (store, keepings), audit).await?;
    let caller = identity.caller(&config).await?;
    let bounds = stdio::Bounds { line_bytes: config.agent.max_body.0, drain: config.agent.drain.0 };
    let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
    let drain = drain_on_signal()?;
    let accounts = Arc::clone(connectors.accounts());
    let reloader = Reloader::new(common.config.clone(), config, connectors, Arc::clone(&gate));
    tokio::spawn(reloader.run(drain.clone()));
    let served = stdio::serve(Arc::clone(&gate), caller, input, output, bounds, drain).await;
    app::finish(&managers, &accounts).await;
    writing.finish().await;
    served.map_err(AppError::internal)?;
    // A blocked read of standard input would hold the process; nothing is left to do.
    std::io::stdout().flush().map_err(AppError::internal)?;
    std::process::exit(exit::OK.into());
}

async fn check(common: &Common) -> Done {
    let (config, catalog) = loaded(common).await?;
    let mut report = String::new();
    let mut problems = 0;
    let mut problem = |report: &mut String, line: String| {
        problems += 1;
        report.push_str(&line);
    };
    for judged in [judge_agent(&config).await, Audit::judge(config.audit.as_ref()), app::judge_state(&config)]
    {
        if let Err(reason) = judged {
            problem(&mut report, format!("{reason}\n"));
        }
    }
    for (name, slot) in catalog.slots() {
        let connector = match slot {
            Slot::Ready { connector, .. } => connector,
            Slot::Broken(reason) => {
                problem(&mut report, format!("{name}: {reason}\n"));
                continue;
            }
        };
        report.push_str(&format!("{name}: {} {}\n", connector.manifest.name, connector.manifest.version));
        for tool in &connector.tools {
            report.push_str(&format!("  {name}_{} ({})\n", tool.name, tool.effect.name()));
        }
        for resource in connector.resources.iter() {
            report.push_str(&format!("  {} (resource)\n", resource.uri));
        }
        for prompt in &connector.prompts {
            report.push_str(&format!("  {} (prompt)\n", prompt.full_name));
        }
        for (credential, why) in connector.credential_problems() {
            problem(&mut report, format!("  credentials.{credential}: {why}\n"));
        }
    }
    if problems == 0 {
        return print(&format!("{report}{} connectors, all good", catalog.slots().len()));
    }
    print(report.trim_end())?;
    Err(AppError::Config(format!("{problems} problems in {}", common.config.display())))
}

async fn judge_agent(config: &Config) -> Result<(), String> {
    let judged = match Authenticator::new(&config.agent) {
        Ok(auth) => auth.judge().await,
        Err(reason) => Err(reason),
    };
    judged.map_err(|reason| format!("agent: {reason}"))
}

async fn tools(common: &Common, identity: &Identity, json: bool) -> Done {
    let (_, catalog) = loaded(common).await?;
    let listing = catalog.listing(&identity.agent);
    if json {
        return print(&String::from_utf8_lossy(&listing.mcp));
    }
    if !listing.names.is_empty() {
        print(&listing.names.join("\n"))?;
    }
    for (name, slot) in catalog.slots() {
        if let Slot::Broken(reason) = slot {
            eprintln!("{name}: not loaded: {reason}");
        }
    }
    Ok(exit::OK)
}

async fn call(
    common: &Common,
    identity: &Identity,
    tool: &str,
    arguments: String,
    timeout_ms: Option<u64>,
) -> Done {
    let config = config::load(&common.config).map_err(AppError::config)?;
    let (audit, writing) = Audit::start(config.audit.as_ref(), Console::Stderr).map_err(AppError::Config)?;
    let caller = identity.caller(&config).await?;
    let gate = gate(common, &config, audit).await?;
    let outcome = make(&gate, caller, tool, arguments, timeout_ms.map(Duration::from_millis)).await;
    writing.finish().await;
    match outcome {
        Err(mistake) => {
            eprintln!("{mistake}");
            Ok(exit::USAGE)
        }
        Ok(Ok(Answered { result, instead })) => {
            if let Some(instead) = instead {
                eprintln!("{}", instead.sentence());
            }
            match result {
                ToolResult::Object(object) => print(object.get()),
                ToolResult::Content(content) => print(&content.to_json()),
                ToolResult::Question(_) => Err(AppError::internal("a question without anybody to ask")),
            }
        }
        Ok(Err(fault)) => {
            eprintln!("{}", fault.sentence());
            print(&serde_json::to_string(&*fault).map_err(AppError::internal)?)?;
            Ok(exit::FAULT)
        }
    }
}

/// Makes a call as an agent does, so that it leaves the same line in the audit. The error is the mistake of whoever wants it made.
async fn make(
    gate: &Gate,
    caller: Caller,
    name: &str,
    arguments: String,
    timeout: Option<Duration>,
) -> Result<Result<Answered, Fault>, String> {
    let trace = TraceContext::fresh();
    let arguments = RawValue::from_string(arguments).map_err(|e| {
        gate.note_turned_away(Some(name), &Ask { caller: caller.clone(), timeout, trace }, gate::MALFORMED);
        format!("the arguments are not JSON: {e}")
    })?;
    let call = ToolCall {
        arguments,
        caller,
        timeout,
        priority: None,
        workflow: None,
        idempotency_key: None,
        trace,
        inputs: None,
        consent: Consent::default(),
        client: Client::default(),
    };
    let unknown = || format!("there is no tool `{name}`; see `ferrata tools`");
    let tool = gate.tool(name, &call).ok_or_else(unknown)?;
    Ok(gate.call(&tool, call).await)
}

/// What the control socket of a running Ferrata says.
async fn told(running: Running) -> Result<String, AppError> {
    let configured =
        || config::load(&running.config).map(|config| config.admin.control).map_err(AppError::config);
    let control = running.control.map_or_else(configured, |control| Ok(Some(control)))?;
    let control = control.ok_or_else(|| AppError::config("`admin.control` is not configured"))?;
    admin::ask(&control, "/status").await.map_err(AppError::internal)
}

async fn status(running: Running) -> Done {
    print(told(running).await?.trim_end())
}

async fn credentials(running: Running) -> Done {
    let status = serde_json::from_str(&told(running).await?).map_err(AppError::internal)?;
    print(admin::credentials::table(&status).trim_end())
}

fn compile(cache: &Cache, components: &[PathBuf]) -> Done {
    let (engine, cache) = app::engine(cache.cache.as_deref())?;
    for (i, path) in components.iter().enumerate() {
        eprintln!("[{}/{}] {}", i + 1, components.len(), path.display());
        connector::compile(&engine, &cache, path)
            .map_err(|reason| AppError::Config(format!("{}: {reason}", path.display())))?;
    }
    Ok(exit::OK)
}

/// Everything but listeners: for commands that work once. Whoever can run them needs no token.
async fn loaded(common: &Common) -> Result<(Config, Arc<Catalog>), AppError> {
    let config = config::load(&common.config).map_err(AppError::config)?;
    let gate = gate(common, &config, Audit::default()).await?;
    Ok((config, gate.catalog()))
}

async fn gate(common: &Common, config: &Config, audit: Audit) -> Result<Arc<Gate>, AppError> {
    let cache = common.cache.cache.as_deref();
    let kept = (Store::Memory, Keepings::of_a_command());
    let (gate, _) = app::gate(config, Authenticator::open(), cache, kept, audit).await?;
    Ok(gate)
}

/// Whoever reads may have read enough and gone.
fn print(text: &str) -> Done {
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(AppError::internal(e)),
        _ => Ok(exit::OK),
    }
}

/// A drain that SIGTERM or SIGINT begins; the second signal ends the process as usual.
fn drain_on_signal() -> Result<Drain, AppError> {
    let (trigger, drain) = server::drain();
    let mut term = signal(SignalKind::terminate()).map_err(AppError::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::internal)?;
    tokio::spawn(async move {
        let mut begun = false;
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            if begun {
                // Whoever asks twice does not want to wait.
                std::process::exit(130);
            }
            begun = true;
            tracing::info!("draining");
            trigger.begin();
        }
    });
    Ok(drain)
}
