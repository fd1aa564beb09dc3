//! What was measured, and what the machine was doing meanwhile.

use std::fs;
use std::process::Command;

use ferrata_tests::{Result, artifacts};

/// The machine at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Load averages over 1, 5 and 15 minutes.
    load: String,
    /// Ticks of all processors since the start: spent idle, taken away by the hypervisor, and all together.
    idle: u64,
    stolen: u64,
    total: u64,
}

impl Moment {
    /// # Errors
    /// When the kernel does not say.
    pub fn now() -> Result<Self> {
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).map(str::parse).collect::<std::result::Result<_, _>>()?;
        // user nice system idle iowait irq softirq steal (guest times are in user already)
        let [_, _, _, idle, waiting, _, _, stolen, ..] = ticks[..] else {
            return Err("/proc/stat is new".into());
        };
        Ok(Self { load, idle: idle + waiting, stolen, total: ticks.iter().take(8).sum() })
    }
}

/// Some lines for above the tables.
pub fn describe(before: &Moment, after: &Moment) -> String {
    let profile = if cfg!(debug_assertions) { "dev (not what is shipped)" } else { "release" };
    let ticks = (after.total - before.total).max(1) as f64;
    let share = |from: u64, to: u64| 100.0 * (to - from) as f64 / ticks;
    format!(
        "\nFerrata {revision}, profile {profile}\n{cores} cores, {model}\nload average {} before, {} after; meanwhile the processors \
         were {:.0} % idle, {:.0} % taken by other machines\n",
        before.load,
        after.load,
        share(before.idle, after.idle),
        share(before.stolen, after.stolen),
        revision = revision(),
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        model = processor(),
    )
}

fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(artifacts::workspace()).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "of no known revision".into();
    };
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    format!("revision {revision}{}", if changed { ", with changes" } else { "" })
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
