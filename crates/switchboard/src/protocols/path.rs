//! The path of a handshake, as protocols compare it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The segments of a path, decoded, without empty ones: `//koji/` has the same segments as `/koji`.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy())
}

/// Returns true if a path is `base` or below it.
pub(crate) fn is_at_or_below(path: &str, base: &str) -> bool {
    let mut path = segments(path);
    segments(base).all(|segment| path.next() == Some(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_the_same_segments_are_equal() {
        for path in ["/a/b", "//a//b/", "/%61/b", "/a/b/"] {
            assert!(segments(path).eq(["a", "b"]), "{path}");
        }
        assert!(segments("//").next().is_none());
        assert!(segments("/a%2Fb").eq(["a/b"]), "an encoded slash is part of a segment");
    }

    #[test]
    fn a_path_is_below_another_by_whole_segments() {
        for (path, base) in [("/a", "/a"), ("//a/b", "/a/"), ("/any", "/"), ("/", "/")] {
            assert!(is_at_or_below(path, base), "{path} of {base}");
        }
        for (path, base) in [("/ab", "/a"), ("/", "/a"), ("/b/a", "/a"), ("/a", "/a/b"), ("/A", "/a")] {
            assert!(!is_at_or_below(path, base), "{path} of {base}");
        }
    }
}
