//! Says when something around some files changed.
//!
//! Folders are watched, not files: whoever replaces a file renames another one over it, or (Kubernetes) swaps a symlink beside it. What the
//! file system does not report (network mounts, links to elsewhere) is found by looking now and then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often the files are looked at when nothing is reported.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long reports are collected: a write is many of them.
const QUIET: Duration = Duration::from_millis(20);

/// Watched folders, and whether anything in them changed.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    pub fn new() -> Self {
        let changed = Arc::new(Notify::new());
        let report = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is reported too, and is no change.
            if !event.is_ok_and(|e| e.kind.is_access()) {
                report.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "changes are found by looking every {LOOK_EVERY:?}");
        }
        Self { watcher: watcher.ok(), folders: BTreeSet::new(), changed }
    }

    /// Watches the folders of these files, and no others.
    pub fn follow<'a>(&mut self, files: impl Iterator<Item = &'a PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders: BTreeSet<_> = files
            .filter_map(|f| f.parent())
            .map(|p| if p.as_os_str().is_empty() { PathBuf::from(".") } else { p.to_owned() })
            .collect();
        for gone in self.folders.difference(&folders) {
            let _ = watcher.unwatch(gone);
        }
        // One that is not there yet is tried again at the next look.
        let watched = folders.into_iter().filter(|folder| {
            self.folders.contains(folder) || watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
        });
        self.folders = watched.collect();
    }

    /// Returns when something changed and things have calmed down, or when it is time for a look. Whether something changed.
    pub async fn changed(&self) -> bool {
        let changed = tokio::time::timeout(LOOK_EVERY, self.changed.notified()).await.is_ok();
        if changed {
            tokio::time::sleep(QUIET).await;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// In real time: the report comes from the system. A look that nothing called for would come after [`LOOK_EVERY`], and be told from it.
    #[tokio::test]
    async fn a_link_that_is_swapped_beside_a_file_is_reported_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("..data/token", at("token")).unwrap();
        symlink("..first", at("..data")).unwrap();
        let mut watch = Watch::new();
        watch.follow([at("token")].iter());
        for next in ["..second", "..third"] {
            symlink(next, at("..data_tmp")).unwrap();
            std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
            assert!(watch.changed().await);
        }
    }
}
