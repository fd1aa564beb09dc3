//! Keeps the folder of compiled components small: what nobody finishes or uses any more goes.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Extension of a file that is being written, and of a compiled component.
pub const ASIDE: &str = "tmp";
pub const COMPILED: &str = "cwasm";

/// A file that has been written for so long has no writer any more: even the slowest disk takes tens of megabytes in less.
const LONGEST_WRITE: Duration = Duration::from_secs(60 * 60);

/// Most bytes of compiled components: some ten of Python's, which are the largest, or a thousand of Rust's.
pub const MAX_BYTES: u64 = 1 << 30;

/// Takes away what writers left behind that ended in the middle. Younger files may be somebody's who shares the folder.
pub fn sweep(folder: &Path, now: SystemTime) {
    for (path, meta) in files(folder, ASIDE) {
        let age = meta.modified().ok().and_then(|written| now.duration_since(written).ok());
        if age.is_some_and(|age| age > LONGEST_WRITE) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Notes that a component was used.
pub fn used(path: &Path) {
    // For the order alone in which they go.
    let _ = std::fs::File::options().append(true).open(path).and_then(|f| f.set_modified(SystemTime::now()));
}

/// Takes components away, those that were used longest ago first, until the others have at most `max` bytes. A process that has one in use keeps it.
pub fn prune(folder: &Path, max: u64) {
    let mut kept: Vec<_> = files(folder, COMPILED).collect();
    kept.sort_by_key(|(_, meta)| std::cmp::Reverse(meta.modified().ok()));
    let mut bytes = 0;
    for (path, meta) in kept {
        bytes += meta.len();
        if bytes > max && std::fs::remove_file(&path).is_ok() {
            tracing::info!(path = %path.display(), "the folder of compiled components is full; one that was not used went");
        }
    }
}

fn files(folder: &Path, extension: &'static str) -> impl Iterator<Item = (PathBuf, Metadata)> {
    let paths = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_kind = paths.filter(move |path| path.extension().is_some_and(|e| e == extension));
    of_kind.filter_map(|path| std::fs::symlink_metadata(&path).ok().map(|meta| (path, meta)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, bytes: usize, age: Duration) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, vec![0; bytes]).unwrap();
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        path
    }

    #[test]
    fn what_a_writer_left_behind_goes_and_what_one_writes_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let second = Duration::from_secs(1);
        let old = file(dir.path(), "a.0.tmp", 4, LONGEST_WRITE + second);
        let young = file(dir.path(), "b.0.tmp", 4, LONGEST_WRITE / 2);
        let done = file(dir.path(), "c.cwasm", 4, 2 * LONGEST_WRITE);
        sweep(dir.path(), SystemTime::now());
        assert!(!old.exists() && young.exists() && done.exists());
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let of_age =
            |name: &str, days: u64| file(dir.path(), name, 10, Duration::from_secs(days * 24 * 3600));
        let (oldest, old, new, other) =
            (of_age("a.cwasm", 3), of_age("b.cwasm", 2), of_age("c.cwasm", 1), of_age("d.tmp", 4));
        prune(dir.path(), 30);
        assert!(oldest.exists(), "there is room");
        used(&oldest);
        prune(dir.path(), 20);
        assert!(oldest.exists() && new.exists() && other.exists() && !old.exists());
    }
}
