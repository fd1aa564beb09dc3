//! What the host would refuse to send: the manifest, held against each request.

use serde_json::Value;

use super::check::{members, text};
use crate::bindings::base::ferrata::connector::types::{Atom, Effect, Part};
use crate::operation::effect_from_name;

/// A manifest, as far as requests are judged by it.
pub(super) struct Grants(Value);

/// On whose behalf something is sent.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A call of a tool with this effect.
    Call(Effect),
    /// A login: secrets of the grant and captured ones may be used.
    Login,
}

/// What is asked of an upstream.
pub(super) struct Sent<'a> {
    pub(super) upstream: &'a str,
    pub(super) label: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) effect: Effect,
}

impl Grants {
    pub(super) fn new(manifest: Value) -> Self {
        Self(manifest)
    }

    /// Panics if the host would refuse it.
    pub(super) fn check(&self, sent: &Sent<'_>, purpose: Purpose) {
        let label = sent.label;
        let operations = members(&self.0, "operations");
        let Some(operation) = operations.iter().find(|operation| text(operation, "label") == label) else {
            panic!("the operation {label:?} is not declared: pass it to `Connector::operations`")
        };
        assert_eq!(text(operation, "upstream"), sent.upstream, "the upstream of {label:?}");
        assert_eq!(text(operation, "method"), sent.method, "the method of {label:?}");
        let pattern = text(operation, "path");
        assert!(
            matches(pattern, sent.path),
            "the path {:?} does not match {label:?}, {pattern:?}",
            sent.path
        );
        let declared = effect_from_name(text(operation, "effect")).max(Some(sent.effect));
        if let Purpose::Call(allowed) = purpose {
            let strongest = declared.unwrap_or(sent.effect);
            assert!(
                strongest <= allowed,
                "{label:?} is {strongest:?}, and its tool only {allowed:?}: see `Tool::effect`"
            );
        }
    }

    /// Panics if the host would not write a secret of these parts towards that upstream.
    pub(super) fn check_secrets(&self, upstream: &str, parts: &[Part], purpose: Purpose) {
        for atom in parts.iter().flat_map(|part| &part.atoms) {
            if let Atom::Secret(name) = atom {
                self.check_secret(upstream, name, purpose);
            }
        }
    }

    fn check_secret(&self, upstream: &str, name: &str, purpose: Purpose) {
        let (credential, field) = match (name.split_once('.'), purpose) {
            (Some(parts), _) => parts,
            (None, Purpose::Login) => return,
            (None, Purpose::Call(_)) => panic!("{name:?} is no secret: write `credential.field`"),
        };
        let credentials = members(&self.0, "credentials");
        let Some(declared) = credentials.iter().find(|declared| text(declared, "name") == credential) else {
            // What a login signed or captured has a name of the host's.
            assert!(
                matches!(purpose, Purpose::Login),
                "no credential {credential:?} is declared (secret {name:?})"
            );
            return;
        };
        let granted = members(declared, "upstreams").iter().any(|granted| granted == upstream);
        assert!(granted, "the credential {credential:?} is not for the upstream {upstream:?}");
        let known = members(declared, "fields").iter().any(|known| text(known, "name") == field);
        assert!(
            known || matches!(purpose, Purpose::Login),
            "the credential {credential:?} has no field {field:?}"
        );
    }
}

/// Whether a path, without regard to its query, is one of the pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let (mut patterns, mut segments) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(rest), Some(first)) if rest.starts_with('{') && rest.ends_with("...}") => {
                return !first.is_empty();
            }
            (Some(place), Some(value)) if place.starts_with('{') && !value.is_empty() => {}
            (Some(literal), Some(value)) if literal == value => {}
            _ => return false,
        }
    }
}
