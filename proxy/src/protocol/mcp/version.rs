//! The protocol revisions that Ferrata speaks, and which of them a client gets.

/// The stateless revision: every request brings its version along.
pub const MODERN: &str = "2026-07-28";

/// What a client that asks for something unknown by `initialize` is offered.
pub const LATEST_LEGACY: &str = "2025-11-25";

/// The one revision in which messages come in batches.
pub const WITH_BATCHES: &str = "2025-03-26";

/// Revisions that begin with `initialize`. The oldest knew another HTTP transport, but over a pipe it differs
/// from its successor in nothing that Ferrata does.
const LEGACY: [&str; 4] = [LATEST_LEGACY, "2025-06-18", WITH_BATCHES, "2024-11-05"];

pub fn is_legacy(version: &str) -> bool {
    LEGACY.contains(&version)
}

/// The revision that answers an `initialize`: the wanted one if it is spoken, else the newest of that era.
pub fn negotiate(wanted: &str) -> &'static str {
    LEGACY.into_iter().find(|known| *known == wanted).unwrap_or(LATEST_LEGACY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_revision_is_kept_and_an_unknown_one_is_answered_with_the_newest() {
        assert_eq!(negotiate("2025-03-26"), "2025-03-26");
        assert_eq!(negotiate("2024-11-05"), "2024-11-05");
        for unknown in [MODERN, "2023-01-01", "", "zzz"] {
            assert_eq!(negotiate(unknown), LATEST_LEGACY);
        }
    }
}
