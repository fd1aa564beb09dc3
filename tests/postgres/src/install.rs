//! Where PostgreSQL's programs are, and as whom they run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian keeps one folder per major version here, and leaves the server's programs off `PATH`.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The account that Debian's package makes. PostgreSQL refuses to run as root.
const ACCOUNT: &str = "postgres";

/// A folder with `initdb`, `pg_ctl`, `pg_basebackup` and `psql`.
#[derive(Clone, Debug)]
pub struct Installation {
    bin: PathBuf,
    is_root: bool,
}

impl Installation {
    /// The newest version in Debian's place, else the first on `PATH`.
    pub fn find() -> Option<Self> {
        let bin = newest_version().or_else(on_path)?;
        let is_root =
            fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        Some(Self { bin, is_root })
    }

    /// One of PostgreSQL's programs, run in `folder` as a user that may run it.
    pub(crate) fn program(&self, name: &str, folder: &Path) -> Command {
        self.command(self.bin.join(name), folder)
    }

    /// Any program, run likewise.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = if self.is_root {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]).arg(program);
            setpriv
        } else {
            Command::new(program)
        };
        // Messages are matched nowhere, but they are read by people in test output.
        command.current_dir(folder).env("LC_ALL", "C");
        command
    }

    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Gives `path` and what is below it to the user that the programs run as.
    pub(crate) fn hand_over(&self, path: &Path) -> std::io::Result<()> {
        if !self.is_root {
            return Ok(());
        }
        crate::server::run(Command::new("chown").args(["-R", &format!("{ACCOUNT}:")]).arg(path)).map(drop)
    }
}

fn newest_version() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.flatten();
    let bins = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").is_file());
    bins.max_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        version.and_then(|number| number.parse::<u32>().ok())
    })
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file())
}
