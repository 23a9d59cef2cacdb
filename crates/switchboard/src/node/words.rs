//! Words that the sentences about messages share.

use std::time::Duration;

/// A duration as people say it: `3 ms`, `12 s`, `5 min`, `2 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "less than 1 ms".into(),
        1..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// A number below ten in letters, with a noun.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    const WORDS: [&str; 10] = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let noun = if count == 1 { one } else { many };
    match WORDS.get(count) {
        Some(word) => format!("{word} {noun}"),
        None => format!("{count} {noun}"),
    }
}

/// `a`, `a and b`, `a, b and c`; of long lists the beginning.
pub(crate) fn list(items: &[String]) -> String {
    const SHOWN_MAX: usize = 5;
    match items {
        [] => "nobody".into(),
        [one] => one.clone(),
        many if many.len() > SHOWN_MAX => {
            format!("{} and {} more", many[..SHOWN_MAX].join(", "), many.len() - SHOWN_MAX)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The text with an upper-case first letter.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// How the sockets of one owner are introduced: the whole subject for one, otherwise `One`, `The other`, `The third`.
pub(crate) fn ordinal(place: usize, count: usize) -> String {
    const WORDS: [&str; 10] = [
        "One",
        "Another",
        "The third",
        "The fourth",
        "The fifth",
        "The sixth",
        "The seventh",
        "The eighth",
        "The ninth",
        "The tenth",
    ];
    match (place, count) {
        (1, 2) => "The other".into(),
        (place, _) => WORDS.get(place).map_or_else(|| format!("Number {}", place + 1), |word| (*word).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_durations_and_lists_read_as_text() {
        let texts = [0, 3, 1_500, 130_000, 8_000_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(texts, ["less than 1 ms", "3 ms", "1 s", "2 min", "2 h"]);
        assert_eq!(counted(1, "socket", "sockets"), "one socket");
        assert_eq!(counted(12, "socket", "sockets"), "12 sockets");
        let names: Vec<String> = ('a'..='g').map(String::from).collect();
        assert_eq!(
            [list(&names[..1]), list(&names[..3]), list(&names)],
            ["a", "a, b and c", "a, b, c, d, e and 2 more"]
        );
        assert_eq!([ordinal(0, 2), ordinal(1, 2), ordinal(1, 3)], ["One", "The other", "Another"]);
    }
}
