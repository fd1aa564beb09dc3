//! MCP over a pipe: one JSON-RPC message per line, both eras, calls side by side.
//!
//! The pipe's other end is one agent, named by whoever started us. A call is given up by
//! `notifications/cancelled`. At the end of input, and on drain, calls under way are finished.

pub mod lines;
mod session;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::call::Caller;
use crate::gate::Gate;
use crate::protocol::jsonrpc::join_lines;
use crate::server::Drain;
use lines::Lines;
use session::Session;

/// Answers that may wait for the agent to read them; beyond it calls wait with theirs.
const MAX_UNREAD: usize = 64;

/// What an operator may change about a pipe.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest line.
    pub line_bytes: usize,
    /// How long calls under way may take once input has ended or the drain has begun.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            line_bytes: super::Settings::default().body_bytes,
            drain: crate::server::Limits::default().drain,
        }
    }
}

/// Serves one agent until its input ends or the drain begins.
///
/// # Errors
/// When the pipe breaks in either direction.
pub async fn serve<R, W>(
    gate: Arc<Gate>,
    caller: Caller,
    reader: R,
    writer: W,
    bounds: Bounds,
    drain: Drain,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (out, unread) = mpsc::channel(MAX_UNREAD);
    let lines = Lines::new(reader, bounds.line_bytes);
    let session = Session::new(gate, caller, out, bounds.drain);
    let mut reading = pin!(session.run(lines, drain.clone()));
    let mut writing = pin!(write(writer, unread));
    tokio::select! {
        // The session owned every sender, so what is left to write is what is queued.
        read = reading.as_mut() => match timeout(bounds.drain, writing).await {
            Ok(written) => written.and(read),
            Err(_) => Err(stopped_reading()),
        },
        // Writing ends before its senders do only when it fails.
        written = writing.as_mut() => written,
        () = overdue(drain, bounds.drain) => Err(stopped_reading()),
    }
}

/// Over when a drain has taken longer than finishing calls and writing their answers may take.
async fn overdue(mut drain: Drain, patience: Duration) {
    drain.begun().await;
    tokio::time::sleep(patience * 2).await;
}

fn stopped_reading() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the agent stopped reading")
}

/// Writes every message on a line of its own, and flushes when no more are waiting.
async fn write<W: AsyncWrite + Unpin>(writer: W, mut unread: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut writer = BufWriter::new(writer);
    while let Some(mut message) = unread.recv().await {
        join_lines(&mut message);
        message.push(b'\n');
        writer.write_all(&message).await?;
        if unread.is_empty() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}
