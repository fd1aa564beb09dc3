//! How deep JSON from outside may nest.
//!
//! Raw values are skipped by a loop, not parsed by recursion, so nothing else would look before the first
//! reader that does recurse.

/// Deepest nesting of a message. serde's own bound, which the later readers of the arguments have too.
pub const MAX_NESTING: usize = 128;

/// Whether brackets outside strings nest deeper than [`MAX_NESTING`]. Text that is not JSON gives some answer.
pub fn is_too_deep(text: &[u8]) -> bool {
    // Most messages open fewer, wherever they stand.
    memchr::memchr2_iter(b'[', b'{', text).nth(MAX_NESTING).is_some() && nests_too_deep(text)
}

fn nests_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut rest) = (0usize, text);
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'[' | b'{' | b']' | b'}')) {
        let found = rest[at];
        rest = &rest[at + 1..];
        match found {
            b'"' => rest = after_string(rest),
            b'[' | b'{' => depth += 1,
            _ => depth = depth.saturating_sub(1),
        }
        if depth > MAX_NESTING {
            return true;
        }
    }
    false
}

/// What follows the string whose inside begins `text`; nothing when it does not end.
fn after_string(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        if rest[at] == b'"' {
            return &rest[at + 1..];
        }
        // A backslash takes the next byte with it.
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_brackets_are_not_deep(text in prop::collection::vec(prop::sample::select(b"[{[{[{]}\"\\a".to_vec()), 0..600)) {
            prop_assert_eq!(is_too_deep(&text), nests_too_deep(&text));
        }
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn depth_is_counted_not_the_number_of_brackets() {
        assert!(!is_too_deep(nested(MAX_NESTING).as_bytes()));
        assert!(is_too_deep(nested(MAX_NESTING + 1).as_bytes()));
        assert!(!is_too_deep("[],".repeat(1000).as_bytes()));
    }

    #[test]
    fn brackets_in_strings_do_not_count_whatever_is_escaped() {
        let brackets = "[".repeat(1000);
        for text in
            [format!(r#""{brackets}""#), format!(r#""\"{brackets}\\""#), format!(r#"["\\","{brackets}"]"#)]
        {
            assert!(!is_too_deep(text.as_bytes()), "{text}");
        }
        assert!(is_too_deep(format!(r#""\\"{brackets}"#).as_bytes()));
    }
}
