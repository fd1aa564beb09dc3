//! What a guest writes to standard error: all of it is accepted, its end is kept.
//!
//! A stream that fills up would break the guest (a write that fails is a panic in Rust, an exception in Python), so this one never does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// How much is kept, for the log line that follows a trap: the end, where a guest says what happened.
const KEPT_BYTES: usize = 4 << 10;

/// Most bytes of one write; bounds what a guest can make the host hold for it.
const WRITE_BYTES: usize = 64 << 10;

/// The end of what was written. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stderr(Arc<Mutex<VecDeque<u8>>>);

impl Stderr {
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What is kept, as text.
    pub fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).trim().to_owned()
    }

    fn append(&self, written: &[u8]) {
        let written = &written[written.len().saturating_sub(KEPT_BYTES)..];
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let displaced = (kept.len() + written.len()).saturating_sub(KEPT_BYTES);
        kept.drain(..displaced);
        kept.extend(written);
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    /// Only WASI 0.3 asks for this one, which is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_taken_and_its_end_is_kept() {
        let stderr = Stderr::default();
        let mut stream = stderr.p2_stream();
        for line in 0..10_000 {
            assert!(stream.check_write().unwrap() > 0);
            stream.write(Bytes::from(format!("line {line}\n"))).unwrap();
        }
        let text = stderr.text();
        assert!(text.ends_with("line 9999") && text.len() <= KEPT_BYTES, "{}", text.len());
        stream.write(Bytes::from("x".repeat(WRITE_BYTES))).unwrap();
        assert_eq!(stderr.text().len(), KEPT_BYTES);
        stderr.clear();
        assert_eq!(stderr.text(), "");
    }
}
