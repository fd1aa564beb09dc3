//! Trace contexts, log set-up and metric names.
//!
//! Owns what the W3C `traceparent` header says, how log lines look and what metrics are called. What is worth a line or a
//! count is decided where it happens.

pub mod metric;

use std::fmt;
use std::io::IsTerminal as _;

use rand::RngExt;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Human,
    Json,
}

/// Starts logging to standard error. Once per process.
///
/// # Errors
/// When the filter is not one, or logging was started before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| e.to_string())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    }
    .map_err(|e| e.to_string())
}

/// Where a call stands in a distributed trace (W3C Trace Context, level 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl TraceContext {
    /// The start of a trace of our own.
    pub fn fresh() -> Self {
        let mut rng = rand::rng();
        Self { trace: rng.random_range(1..=u128::MAX), span: rng.random_range(1..=u64::MAX), sampled: true }
    }

    /// Continues the caller's trace with a span of our own; a header that is not valid starts a new trace.
    pub fn continue_from(traceparent: Option<&str>) -> Self {
        let Some(parent) = traceparent.and_then(parse) else { return Self::fresh() };
        parent.child()
    }

    /// A new span in the same trace.
    pub fn child(self) -> Self {
        Self { span: rand::rng().random_range(1..=u64::MAX), ..self }
    }

    /// 16 hexadecimal digits.
    pub fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// The header's value.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

fn parse(header: &str) -> Option<TraceContext> {
    let mut fields = header.trim().split('-');
    let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let version = hex(version, 2)?;
    // Version 00 has exactly four fields; later ones may append, ff is forbidden.
    if version == 0xff || (version == 0 && fields.next().is_some()) {
        return None;
    }
    let (trace, span) = (hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?);
    (trace != 0 && span != 0).then_some(TraceContext { trace, span, sampled: hex(flags, 2)? & 1 == 1 })
}

/// Exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let valid = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    valid.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_callers_trace_goes_on_under_a_new_span() {
        let here = TraceContext::continue_from(Some(PARENT));
        assert_eq!(here.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(here.to_string(), PARENT);
        assert!(here.to_string().ends_with("-01"));
    }

    #[test]
    fn what_is_not_a_traceparent_starts_a_trace() {
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            zero,
            &PARENT.to_uppercase(),
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert!(parse(&format!("{PARENT}-extra")).is_none());
        assert!(parse(&format!("01{}-extra", &PARENT[2..])).is_some());
    }
}
