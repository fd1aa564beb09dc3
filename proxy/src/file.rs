//! Telling one state of a file from another, and when it is time to look.

pub mod watch;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a file looks like from outside. A symlink that now points elsewhere is another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

impl Stamp {
    /// The file's stamp now; none if it cannot be looked at. Cheap: one `stat`.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { inode: meta.ino(), modified: (meta.mtime(), meta.mtime_nsec()), bytes: meta.len() })
    }
}
