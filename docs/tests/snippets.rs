//! The pages that guides and the server offer to copy are the same.

use std::fs;
use std::path::Path;

#[test]
fn the_tests_in_the_guide_on_testing_are_those_that_run() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(docs.join(path)).expect(path);
    let guide = read("guides/testing.md");
    let block = guide.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(block, read("tests/testing.rs").split_once("\n\n").map(|(_, tests)| tests));
}

#[test]
fn the_page_in_the_guide_on_rooms_is_the_one_that_the_server_offers() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(docs.join(path)).expect(path);
    let guide = read("guides/rooms-without-code.md");
    let block = guide.split("```html\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(block, Some(&*read("../crates/pages/snippets/rooms.html")));
}
