//! The bound on the nesting of JSON.
//!
//! serde_json does not limit the depth of values that it skips. Receivers parse these values, and their parsers
//! may fail or recurse.

/// Maximum number of levels of nested arrays and objects: 64.
pub const DEPTH_MAX: usize = 64;

/// Returns true if JSON nests no deeper than [`DEPTH_MAX`]. Accepts any bytes.
pub(crate) fn is_shallow(json: &[u8]) -> bool {
    // An upper bound that counts brackets inside strings too; most frames pass it.
    let brackets = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    brackets <= DEPTH_MAX || depth(json) <= DEPTH_MAX
}

fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Skips to the byte after the closing quote.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_levels_pass_and_one_more_does_not() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(is_shallow(nested(64).as_bytes()));
        assert!(!is_shallow(nested(65).as_bytes()));
    }

    #[test]
    fn brackets_side_by_side_and_in_strings_do_not_nest() {
        assert!(is_shallow("[],".repeat(1000).as_bytes()));
        let text = format!(r#"["\"{}",1]"#, "[".repeat(1000));
        assert!(is_shallow(text.as_bytes()));
    }
}
