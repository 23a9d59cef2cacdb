//! Any patterns and names: reading does not panic, and rights allow what any of their patterns allows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_event::{Resource, Right, Rights};

fn matches(pattern: &str, resource: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => resource.starts_with(prefix),
        None => pattern == resource,
    }
}

// The first line is a name. Each further line is a pattern, a tab and its letters.
fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let name = lines.next().unwrap_or_default();
    let patterns: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('\t')).collect();
    let Ok(rights) = Rights::new(patterns.iter().copied()) else { return };
    for resource in [
        Resource::Everyone,
        Resource::Room(name),
        Resource::Shard(name),
        Resource::User(name),
        Resource::Tag(name),
    ] {
        let resource_text = resource.to_string();
        for right in Right::ALL {
            let expected = patterns.iter().any(|(pattern, letters)| {
                letters.contains(right.letter()) && matches(pattern, &resource_text)
            });
            assert_eq!(rights.allow(right, resource), expected, "{right} on {resource}");
        }
    }
});
