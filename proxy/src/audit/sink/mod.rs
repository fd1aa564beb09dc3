//! Where lines end up. A sink takes all that it is given, or says why not and how far it came.

mod file;
mod http;
mod thread;

use std::fmt;
use std::io::{self, Write};

use crate::config::AuditSink;
use crate::file::is_writable;
use file::LineFile;
use http::Service;
use thread::Thread;

/// Which of the process's outputs stands for `stdout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    Stdout,
    /// Where standard output carries answers.
    Stderr,
}

/// Lines, and how much of them is written.
#[derive(Debug, Default)]
pub struct Pending {
    text: Vec<u8>,
    written: usize,
}

impl From<Vec<u8>> for Pending {
    fn from(text: Vec<u8>) -> Self {
        Self { text, written: 0 }
    }
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.text.get(self.written..).unwrap_or_default()
    }

    /// The line that was begun is to be written as a whole: it goes elsewhere.
    fn rewind(&mut self) {
        let begun = self.text.get(..self.written).unwrap_or_default();
        self.written = memchr::memrchr(b'\n', begun).map_or(0, |at| at + 1);
    }

    /// Writes what is left, as far as it goes.
    fn write_to(&mut self, mut output: impl Write) -> io::Result<()> {
        while !self.rest().is_empty() {
            match output.write(self.rest()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        output.flush()
    }
}

/// One of them.
pub enum Sink {
    /// What blocks has a thread of its own: the end of the process does not wait for a disk that hangs.
    Blocking {
        name: String,
        thread: Thread,
    },
    Http(Box<Service>),
}

impl Sink {
    /// Whether it can be opened, as far as can be told without writing or asking anybody. The error is a sentence for the operator.
    pub fn judge(config: &AuditSink) -> Result<(), String> {
        match config {
            AuditSink::Http(service) => Service::new(service).map(drop),
            AuditSink::File(config) => {
                is_writable(&config.file).map_err(|e| format!("audit: {}: {e}", config.file.display()))
            }
            AuditSink::Console(_) => Ok(()),
        }
    }

    /// The error is a sentence for the operator.
    pub fn open(config: &AuditSink, console: Console) -> Result<Self, String> {
        match config {
            AuditSink::Http(service) => Service::new(service).map(|service| Self::Http(Box::new(service))),
            AuditSink::File(config) => {
                let name = config.file.display().to_string();
                let mut file = LineFile::open(&config.file).map_err(|e| format!("audit: {name}: {e}"))?;
                let thread = Thread::start(move |pending| file.write(pending))?;
                Ok(Self::Blocking { name, thread })
            }
            AuditSink::Console(_) => {
                let (name, thread) = match console {
                    Console::Stdout => ("stdout", Thread::start(|pending| pending.write_to(io::stdout()))),
                    Console::Stderr => ("stderr", Thread::start(|pending| pending.write_to(io::stderr()))),
                };
                Ok(Self::Blocking { name: name.to_owned(), thread: thread? })
            }
        }
    }

    /// Writes what is left. After an error the same may be tried again.
    pub async fn write(&mut self, pending: &mut Pending) -> Result<(), String> {
        match self {
            Self::Blocking { name, thread } => {
                thread.write(pending).await.map_err(|error| format!("{name}: {error}"))
            }
            Self::Http(service) => service.send(pending.rest()).await,
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocking { name, .. } => f.write_str(name),
            Self::Http(service) => f.write_str(service.name()),
        }
    }
}
