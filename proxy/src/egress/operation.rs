//! Operations: what a connector may send, as its granted manifest says, and how strong it is.

use std::sync::Arc;

use serde::Deserialize;

use super::path::GuestPath;

/// What repeating a request would do; each is stricter than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    Read,
    IdempotentWrite,
    Write,
    Destructive,
}

impl Effect {
    pub const ALL: [Self; 4] = [Self::Read, Self::IdempotentWrite, Self::Write, Self::Destructive];

    /// As manifests write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::IdempotentWrite => "idempotent-write",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }

    /// Whether sending it twice is the same as sending it once.
    pub const fn is_repeatable(self) -> bool {
        matches!(self, Self::Read | Self::IdempotentWrite)
    }
}

/// One thing that a connector may send to one upstream.
#[derive(Clone, Debug)]
pub struct Operation {
    pub label: Arc<str>,
    pub upstream: Arc<str>,
    pub method: String,
    pub effect: Effect,
    /// What one request charges the walls.
    pub cost: u64,
    /// The tool's argument that names what its walls are about, if one of them is about a resource.
    pub per: Option<Arc<str>>,
    pattern: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}`: one segment that is not empty.
    One,
    /// `{name...}`: one or more to the end.
    Rest,
}

impl Operation {
    /// Reads a manifest's entry; the error says what is wrong with the pattern.
    pub fn new(
        label: &str,
        upstream: &str,
        method: &str,
        path: &str,
        effect: Effect,
    ) -> Result<Self, String> {
        // What it asks for is not a path at an upstream, but another host.
        if method == "CONNECT" {
            return Err("the method CONNECT goes through no operation".to_owned());
        }
        let pattern = if path == "*" { vec![Segment::Rest] } else { parse_pattern(path)? };
        Ok(Self {
            label: label.into(),
            upstream: upstream.into(),
            method: method.to_owned(),
            effect,
            cost: 1,
            per: None,
            pattern,
        })
    }

    /// The same, at a cost, with walls about a resource.
    pub fn charging(self, cost: u64, per: Option<Arc<str>>) -> Self {
        Self { cost, per, ..self }
    }

    fn matches(&self, method: &str, path: &GuestPath) -> bool {
        self.method == method && fits(&self.pattern, path)
    }
}

fn parse_pattern(path: &str) -> Result<Vec<Segment>, String> {
    let rest = path.strip_prefix('/').ok_or_else(|| format!("path `{path}` must start with `/`"))?;
    let segments: Vec<_> = rest.split('/').map(parse_segment).collect();
    match segments.iter().position(|s| *s == Segment::Rest) {
        Some(at) if at + 1 != segments.len() => {
            Err(format!("path `{path}`: `{{name...}}` can only stand last"))
        }
        _ => Ok(segments),
    }
}

fn parse_segment(text: &str) -> Segment {
    match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        Some(name) if name.ends_with("...") => Segment::Rest,
        Some(_) => Segment::One,
        None => Segment::Literal(text.to_owned()),
    }
}

fn fits(pattern: &[Segment], path: &GuestPath) -> bool {
    let mut segments = path.segments();
    for expected in pattern {
        let Some(segment) = segments.next() else { return false };
        match expected {
            Segment::Rest => return true,
            Segment::One if !segment.is_empty() => {}
            Segment::Literal(literal) if literal == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// The operations of one granted manifest.
#[derive(Clone, Debug, Default)]
pub struct Operations(Vec<Operation>);

/// Why a request is none of the connector's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// No operation of that label for that upstream.
    UnknownLabel,
    /// The label's own pattern does not fit method and path.
    WrongPattern,
}

impl Operations {
    pub fn new(operations: Vec<Operation>) -> Self {
        Self(operations)
    }

    /// The operation that a request claims to be, and the strictest effect of all patterns that it fits: a label
    /// with a generous pattern must not make a destructive path harmless.
    pub fn judge(
        &self,
        upstream: &str,
        label: &str,
        method: &str,
        path: &GuestPath,
    ) -> Result<(&Operation, Effect), Mismatch> {
        let claimed = self.find(upstream, label).ok_or(Mismatch::UnknownLabel)?;
        if !claimed.matches(method, path) {
            return Err(Mismatch::WrongPattern);
        }
        let fitting = self.0.iter().filter(|o| *o.upstream == *upstream && o.matches(method, path));
        Ok((claimed, fitting.map(|o| o.effect).fold(claimed.effect, Effect::max)))
    }

    /// The operation of that label.
    pub fn find(&self, upstream: &str, label: &str) -> Option<&Operation> {
        self.0.iter().find(|o| *o.upstream == *upstream && *o.label == *label)
    }

    /// Whether a wall of one of them is about a resource.
    pub fn have_resources(&self) -> bool {
        self.0.iter().any(|o| o.per.is_some())
    }

    /// The operation of that label, if there is just one, whatever its upstream.
    pub fn only(&self, label: &str) -> Option<&Operation> {
        let mut found = self.0.iter().filter(|o| *o.label == *label);
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether any upstream has an operation of that label.
    pub fn has_label(&self, label: &str) -> bool {
        self.0.iter().any(|o| *o.label == *label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations() -> Operations {
        let new = |label, method, path, effect| Operation::new(label, "api", method, path, effect).unwrap();
        Operations::new(vec![
            new("get", "GET", "/records/{id}", Effect::Read),
            new("any", "DELETE", "/{rest...}", Effect::Read),
            new("delete", "DELETE", "/records/{id}", Effect::Destructive),
        ])
    }

    fn judge(label: &str, method: &str, path: &str) -> Result<Effect, Mismatch> {
        operations().judge("api", label, method, &GuestPath::parse(path).unwrap()).map(|(_, effect)| effect)
    }

    #[test]
    fn a_label_must_fit_its_own_pattern() {
        assert_eq!(judge("get", "GET", "/records/7?fields=a"), Ok(Effect::Read));
        assert_eq!(judge("get", "POST", "/records/7"), Err(Mismatch::WrongPattern));
        assert_eq!(judge("get", "GET", "/records/7/notes"), Err(Mismatch::WrongPattern));
        assert_eq!(judge("get", "GET", "/records/"), Err(Mismatch::WrongPattern));
        assert_eq!(judge("made-up", "GET", "/records/7"), Err(Mismatch::UnknownLabel));
    }

    #[test]
    fn nothing_is_asked_for_a_way_to_another_host() {
        assert!(Operation::new("tunnel", "api", "CONNECT", "/{rest...}", Effect::Read).is_err());
    }

    #[test]
    fn the_strictest_fitting_pattern_decides_the_effect() {
        assert_eq!(judge("any", "DELETE", "/records/7"), Ok(Effect::Destructive));
        assert_eq!(judge("any", "DELETE", "/else/7"), Ok(Effect::Read));
    }
}
