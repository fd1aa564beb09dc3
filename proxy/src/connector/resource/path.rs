//! What stands behind `<connector>://` in the URI of a resource: paths, and patterns for families of them.

use percent_encoding::percent_decode_str;

use crate::egress::path::GuestPath;

/// Longest path, in bytes: menus show it, and agents repeat it.
const MAX_PATH_BYTES: usize = 1 << 10;

/// Most variables of one pattern.
const MAX_VARIABLES: usize = 8;

/// Names and decoded values.
pub type Variables = Vec<(String, String)>;

/// A path as a connector lists it. What fits it can be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// `{name}`: one segment that is not empty.
    Segment(String),
    /// `{+name}`: one or more to the end.
    Rest(String),
}

/// Whether a text can be the path of one resource: nothing in it can lead elsewhere, however often it is decoded or cut. The error is a sentence's end.
pub fn check(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > MAX_PATH_BYTES {
        return Err("it is empty or too long");
    }
    if path.contains('?') || path.split('/').any(str::is_empty) {
        return Err("it has a query, or an empty segment");
    }
    GuestPath::parse(&format!("/{path}")).map(|_| ())
}

impl Pattern {
    /// Reads what a connector lists; the error is a sentence's end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pieces: Vec<_> = text.split('/').map(Piece::parse).collect::<Result<_, _>>()?;
        // With something harmless in the place of its variables it must be a path.
        let example: Vec<_> = pieces.iter().map(Piece::example).collect();
        check(&example.join("/"))?;
        let pattern = Self(pieces);
        let names: Vec<_> = pattern.variables().collect();
        if names.len() > MAX_VARIABLES {
            return Err(format!("it has more than {MAX_VARIABLES} variables"));
        }
        if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
            return Err("it has a variable twice".to_owned());
        }
        let rest = pattern.0.iter().position(|piece| matches!(piece, Piece::Rest(_)));
        if rest.is_some_and(|at| at + 1 < pattern.0.len()) {
            return Err("only its last segment can be `{+name}`".to_owned());
        }
        Ok(pattern)
    }

    /// Whether it is of a family, and not of one resource.
    pub fn is_family(&self) -> bool {
        self.variables().next().is_some()
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Segment(name) | Piece::Rest(name) => Some(name.as_str()),
        })
    }

    /// The variables of a path that fits. The path has been checked.
    pub fn fit(&self, path: &str) -> Option<Variables> {
        let (mut rest, mut variables) = (Some(path), Vec::new());
        for piece in &self.0 {
            let text = rest?;
            let (segment, after) = match (piece, text.split_once('/')) {
                (Piece::Rest(_), _) | (_, None) => (text, None),
                (_, Some((segment, after))) => (segment, Some(after)),
            };
            match piece {
                Piece::Literal(literal) if literal == segment => {}
                Piece::Literal(_) => return None,
                Piece::Segment(name) | Piece::Rest(name) => variables.push((name.clone(), decoded(segment)?)),
            }
            rest = after;
        }
        rest.is_none().then_some(variables)
    }
}

impl Piece {
    fn parse(segment: &str) -> Result<Self, String> {
        let Some(inner) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
            let literal = !segment.contains(['{', '}']);
            return literal.then(|| Self::Literal(segment.to_owned())).ok_or_else(|| {
                format!("`{segment}`: a variable takes the place of a whole segment, as `{{name}}`")
            });
        };
        let (name, rest) = match inner.strip_prefix('+') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match (named, rest) {
            (false, _) => Err(format!("`{segment}`: a variable's name is made of letters, digits and `_`")),
            (true, false) => Ok(Self::Segment(name.to_owned())),
            (true, true) => Ok(Self::Rest(name.to_owned())),
        }
    }

    fn example(&self) -> &str {
        match self {
            Self::Literal(literal) => literal,
            Self::Segment(_) | Self::Rest(_) => "x",
        }
    }
}

/// A variable's value. What is no text, or holds what no text needs, is no value.
fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.contains(char::is_control)).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(pattern: &str, path: &str) -> Option<Vec<String>> {
        check(path).unwrap();
        let variables = Pattern::parse(pattern).unwrap().fit(path)?;
        Some(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn a_variable_is_a_segment_or_the_rest() {
        let found = |values: &[&str]| Some(values.iter().map(|v| (*v).to_owned()).collect());
        assert_eq!(fit("static", "static"), found(&[]));
        assert_eq!(fit("t/{id}/data", "t/7/data"), found(&["id=7"]));
        assert_eq!(fit("t/{id}", "t/a%2Fb%20c"), found(&["id=a/b c"]));
        assert_eq!(fit("f/{+path}", "f/a/b"), found(&["path=a/b"]));
        assert_eq!(fit("{a}/{b}", "1/2"), found(&["a=1", "b=2"]));
        for (pattern, path) in [
            ("static", "static/x"),
            ("static", "statics"),
            ("t/{id}", "t"),
            ("t/{id}", "t/7/data"),
            ("t/{id}/data", "t/7"),
            ("f/{+path}", "f"),
            ("t/{id}", "t/%ff"),
            ("t/{id}", "t/a%0Ab"),
            ("t/{id}", "T/7"),
        ] {
            assert_eq!(fit(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn no_path_leads_elsewhere() {
        let long = "x".repeat(MAX_PATH_BYTES + 1);
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "a/%2e%2E/b",
            "a/%2f..%2fb",
            "a?b",
            "a#b",
            "a b",
            "a\nb",
            "höhe",
            "a\\b",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        // A colon is a character like any other: the scheme is before it.
        assert!(check("chat:x/y").is_ok());
    }

    #[test]
    fn a_pattern_that_is_unclear_is_refused() {
        for bad in ["a{b}", "{a}{b}", "{}", "{a b}", "{+r}/x", "{a}/{a}", "{?q}", "{a", "../{a}", "a/{b*}"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        let many: Vec<_> = (0..=MAX_VARIABLES).map(|i| format!("{{v{i}}}")).collect();
        assert!(Pattern::parse(&many.join("/")).is_err());
    }
}
