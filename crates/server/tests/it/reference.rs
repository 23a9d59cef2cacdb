//! `docs/reference/` and the file of `switchboard config init`, generated from the code; the tests fail when a file is stale.

mod annotated;
mod close_codes;
mod metrics;
mod settings;

/// The note at the beginning of each file.
fn note(source: &str) -> String {
    format!("<!-- Generated from {source} by a test; see CONTRIBUTING.md. Do not edit. -->\n\n")
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Whole numbers with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
