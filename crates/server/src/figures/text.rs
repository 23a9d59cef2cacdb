//! Reads Prometheus' text format, as this process writes it.

/// A line: the name of the metric, the labels between the braces, and the value. `None` for a comment.
pub(super) fn line(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    Some(match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?, value),
        None => (series, "", value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_name_labels_and_a_value() {
        assert_eq!(line("a_total 7"), Some(("a_total", "", 7.0)));
        assert_eq!(line("a{b=\"c d\",le=\"0.5\"} 1.5"), Some(("a", "b=\"c d\",le=\"0.5\"", 1.5)));
        assert_eq!(line("# HELP a b"), None);
        assert_eq!(line(""), None);
    }
}
