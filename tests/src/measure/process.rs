//! What the kernel says of one process.

use std::fs;
use std::time::Duration;

use ferrata_tests::Result;

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All of it, as tools show it.
    pub resident: u64,
    /// What is not the content of a file: the program's own data. The rest the kernel can drop and read again.
    pub anonymous: u64,
    /// The most that was resident so far.
    pub peak: u64,
}

impl Memory {
    /// # Errors
    /// When the process has ended.
    pub fn of(process: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let kilobytes = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number =
                line.and_then(|rest| rest.split_whitespace().next()).ok_or("no such line in status")?;
            Ok(number.parse::<u64>()? * 1024)
        };
        Ok(Self {
            resident: kilobytes("VmRSS:")?,
            anonymous: kilobytes("RssAnon:")?,
            peak: kilobytes("VmHWM:")?,
        })
    }
}

/// Processor time of all threads that a process has, to the nanosecond. Threads that ended are not in it: to be compared between two
/// moments within which none ends.
///
/// # Errors
/// When the process has ended.
pub fn cpu(process: u32) -> Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // One that ends while being looked at.
        let Ok(line) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        total += line.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
