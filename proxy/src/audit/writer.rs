//! Takes lines from the queue to the sink, a batch at a time, and does not give one up: what a failing sink costs is decided where lines enter the
//! queue.

use std::time::Duration;

use super::queue::Lines;
use super::sink::Sink;

/// How long a sink that failed is left alone.
pub const REST: Duration = Duration::from_secs(1);

/// Until the queue is closed and empty.
pub async fn run(mut sink: Sink, mut lines: Lines) {
    while let Some(mut batch) = lines.batch().await {
        let mut text = std::mem::take(&mut batch.text).into();
        while let Err(why) = sink.write(&mut text).await {
            lines.note_failed(why);
            tokio::time::sleep(REST).await;
        }
        lines.note_written(&batch);
    }
}
