//! The demo, the example pages and the console as files in the binary.
//!
//! The demo (`/chat/` and `/canvas/`) is plain JavaScript and always present. The build script uses npm to bundle the
//! examples (`/examples/`), and the panel that shows the frames of the chat. If that is not possible, the panel is
//! missing, and a page with the reason takes the place of the examples.

pub mod front;
pub mod snippets;

use std::borrow::Cow;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

const NO_EXAMPLES: &str = include_str!("../no-examples.html");

/// Why the example pages are missing, as a sentence without its full stop; `None` if they are present.
pub const EXAMPLES_MISSING: Option<&str> = MISSING;

/// The content of a file, such as `canvas/main.js`.
pub fn find(path: &str) -> Option<Cow<'static, [u8]>> {
    if let ("examples/index.html", Some(reason)) = (path, MISSING) {
        return Some(NO_EXAMPLES.replace("{reason}", &reason.replace('<', "&lt;")).into_bytes().into());
    }
    FILES.iter().find(|(name, _)| *name == path).map(|(_, content)| Cow::Borrowed(*content))
}

/// The content of a file of the console, such as `index.html`. It is not part of [`find`], whose files every visitor of a demo
/// gets.
pub fn find_console(path: &str) -> Option<&'static [u8]> {
    CONSOLE.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
}

/// The `Content-Type` of a file, by the end of its name.
pub fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_has_a_content_type() {
        for (path, _) in FILES.iter().chain(CONSOLE) {
            assert_ne!(content_type(path), "application/octet-stream", "{path}");
        }
    }

    #[test]
    fn the_demo_and_a_page_for_the_examples_are_present() {
        for path in ["chat/index.html", "canvas/index.html", "examples/index.html"] {
            assert!(find(path).is_some(), "{path}");
        }
        assert!(find("nothing.html").is_none());
    }
}
