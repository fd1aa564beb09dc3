//! Lines of bounded length from a pipe.

use std::io::Result;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Whole(Vec<u8>),
    /// It was longer than allowed, and skipped.
    TooLong,
}

/// Reads line by line.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    max_bytes: usize,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(reader: R, max_bytes: usize) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), max_bytes, skipping: false }
    }

    /// The next line; none at the end of input. Safe to cancel: what was read so far is kept.
    pub async fn next(&mut self) -> Result<Option<Line>> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                // The last line may lack its end.
                let rest = self.skipping || !self.line.is_empty();
                return Ok(rest.then(|| self.finish()));
            }
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            self.skipping |= self.line.len() + part.len() > self.max_bytes;
            if self.skipping {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if end.is_some() {
                return Ok(Some(self.finish()));
            }
        }
    }

    fn finish(&mut self) -> Line {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.skipping) { Line::TooLong } else { Line::Whole(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_line_is_skipped_and_the_next_one_read() {
        let mut lines = Lines::new(&b"ab\n\nabcde\nabcd\nrest"[..], 4);
        let whole = |text: &[u8]| Some(Line::Whole(text.to_vec()));
        for expected in [whole(b"ab"), whole(b""), Some(Line::TooLong), whole(b"abcd"), whole(b"rest"), None]
        {
            assert_eq!(lines.next().await.unwrap(), expected);
        }
    }
}
