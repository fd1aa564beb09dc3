//! A thread for what blocks.

use std::io;
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::Pending;

/// Lines to write, and where the outcome goes.
type Task = (Pending, oneshot::Sender<(Pending, io::Result<()>)>);

/// Ends when this is dropped and nothing is being written.
pub struct Thread(mpsc::SyncSender<Task>);

impl Thread {
    /// The error is a sentence for the operator.
    pub fn start(
        mut write: impl FnMut(&mut Pending) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, String> {
        // One at a time: the writer waits for each.
        let (sender, tasks) = mpsc::sync_channel::<Task>(1);
        let run = move || {
            while let Ok((mut pending, done)) = tasks.recv() {
                let result = write(&mut pending);
                // Nobody waits any more when the process ends.
                let _ = done.send((pending, result));
            }
        };
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(run);
        thread.map(|_| Self(sender)).map_err(|e| format!("audit: no thread can be started: {e}"))
    }

    pub async fn write(&self, pending: &mut Pending) -> io::Result<()> {
        let gone = || io::Error::other("the thread that writes is gone");
        let (done, outcome) = oneshot::channel();
        self.0.try_send((std::mem::take(pending), done)).map_err(|_| gone())?;
        let (rest, result) = outcome.await.map_err(|_| gone())?;
        *pending = rest;
        result
    }
}
