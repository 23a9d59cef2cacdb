//! Errors of reading, in an operator's words: the key, its value, its source, and the allowed values.

use super::annotated;
use super::environment::{PREFIX, name_of};
use super::error::InvalidSetting;
use super::read::{ReadError, ReadProblem};
use super::secret::without_secrets;
use super::tree::{Content, Source, Table, find, find_in_list, source_of};

/// Keys of secrets, and a section with secrets; their values are never shown.
const SECRET_KEYS: &[&str] = &[
    "api.keys",
    "api.named_keys",
    "auth.issuers",
    "auth.jwt_secret",
    "redis.sentinel_password",
    "redis.url",
];

/// Sections of named settings, each of which may have `secrets`.
const SECTIONS_WITH_SECRETS: &[&str] = &["handlers.backends", "hooks.endpoints"];

/// Longest value that an error shows, in characters.
const SHOWN_CHARS_MAX: usize = 100;

/// Describes an error of reading a tree.
pub(super) fn describe(error: &ReadError, table: &Table) -> InvalidSetting {
    let key = error.key();
    match &error.problem {
        ReadProblem::Unknown(known) => unknown(key, known, table),
        ReadProblem::Expected(of_type) => expected(key, of_type, table),
        ReadProblem::NotOneOf(known) => {
            locate(InvalidSetting::new(key, format!("expected one of {}", listed(known))), table)
        }
        // The standard library's words for an address that it cannot parse.
        ReadProblem::Other(text) if text.contains("socket address") => expected(key, text, table),
        ReadProblem::Other(text) => locate(InvalidSetting::new(key, text), table),
    }
}

/// Adds the value and its source to an error that only knows the key.
pub(super) fn locate(mut invalid: InvalidSetting, table: &Table) -> InvalidSetting {
    let shown = match find(table, invalid.key()) {
        Some(node) => show(invalid.key(), &node.content),
        None => {
            find_in_list(table, invalid.key()).and_then(|value| show(invalid.key(), &Content::Toml(value)))
        }
    };
    if let (false, Some(shown)) = (invalid.has_value(), shown) {
        invalid = invalid.with_value(shown);
    }
    match source_of(table, invalid.key()) {
        Some(source) => invalid.with_source(source.to_string()),
        None => invalid,
    }
}

/// A value as text, `***` if it is or contains a secret; `None` for a section.
fn show(key: &str, content: &Content) -> Option<String> {
    let text = match content {
        Content::Table(_) | Content::Toml(toml::Value::Table(_)) => return None,
        _ if is_secret(key) => return Some("***".into()),
        Content::Text(text) | Content::Toml(toml::Value::String(text)) => text.clone(),
        Content::Toml(value) => value.to_string(),
    };
    let text = if text.contains("://") { without_secrets(&text) } else { text };
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(escaped).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    Some(shown)
}

/// Escapes characters that would break the line of an error.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let plain = (!character.is_control()).then_some(character);
    let escaped = character.is_control().then(|| character.escape_default());
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// Members of `api.named_keys.NAME` that are no secrets.
const PUBLIC_MEMBERS: [&str; 3] = ["expires_at", "projects", "scopes"];

/// Returns true for a secret, and for a section of secrets, in whose place a value may be one.
fn is_secret(key: &str) -> bool {
    let member = key.strip_prefix("api.named_keys.").and_then(|key| key.rsplit_once('.'));
    if member.is_some_and(|(_, member)| PUBLIC_MEMBERS.contains(&member)) {
        return false;
    }
    SECRET_KEYS.iter().any(|secret| is_within(key, secret) || is_within(secret, key))
        || SECTIONS_WITH_SECRETS.iter().any(|section| is_within(section, key) || is_secret_of(section, key))
}

/// Returns true for the member `secrets` of a named setting, and for a value in place of the setting.
fn is_secret_of(section: &str, key: &str) -> bool {
    let Some(named) = key.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')) else {
        return false;
    };
    !named.contains('.') || named.split('.').any(|member| member == "secrets")
}

fn is_within(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn unknown(key: String, known: &[&str], table: &Table) -> InvalidSetting {
    let source = source_of(table, &key).cloned();
    let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
    let hint = unknown_hint(section, name, known, source.as_ref());
    let unknown = InvalidSetting::new(key, "unknown setting").with_hint(hint);
    match source {
        Some(source) => unknown.with_source(source.to_string()),
        None => unknown,
    }
}

/// The likely fix: a similar name, the separator of sections, or the names that exist.
fn unknown_hint(section: &str, name: &str, known: &[&str], source: Option<&Source>) -> String {
    let variable = matches!(source, Some(Source::Variable(_)));
    let separated =
        known.iter().find_map(|section| Some((section, name.strip_prefix(section)?.strip_prefix('_')?)));
    if let (true, Some((section, rest))) = (variable, separated) {
        let meant = name_of(&format!("{section}.{rest}"));
        return format!("did you mean `{meant}`? Two underscores separate a section from its setting");
    }
    let similar = known.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
    let similar = similar.filter(|similar| strsim::jaro(similar, name) > 0.8);
    if let (None, Some(key)) = (similar, elsewhere(name)) {
        return format!("did you mean `{}`?", if variable { name_of(&key) } else { key });
    }
    match similar {
        Some(similar) if variable => {
            let dot = if section.is_empty() { "" } else { "." };
            format!("did you mean `{}`?", name_of(&format!("{section}{dot}{similar}")))
        }
        Some(similar) => format!("did you mean `{similar}`?"),
        None if variable && section.is_empty() => {
            format!("variables that begin with {PREFIX} are settings; here they are {}", listed(known))
        }
        None => format!("the settings here are {}", listed(known)),
    }
}

/// The setting of another section with this name, or a very similar one.
fn elsewhere(name: &str) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let similarity = |key: &String| strsim::normalized_damerau_levenshtein(&last(key), name);
    let nearest = annotated::keys().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(&nearest) > 0.85).then_some(nearest)
}

/// A value of another type.
fn expected(key: String, of_type: &str, table: &Table) -> InvalidSetting {
    let content = find(table, &key).map(|node| &node.content);
    let is_quoted = matches!(content, Some(Content::Toml(toml::Value::String(_))));
    let is_plain = matches!(of_type, "a boolean" | "bool") || of_type.starts_with(['i', 'u', 'f']);
    let in_file = matches!(find(table, &key).map(|node| &node.content), Some(Content::Toml(_)));
    let invalid = locate(InvalidSetting::new(key, format!("expected {}", plain_type(of_type))), table);
    match (of_type.contains("string") && in_file, is_quoted && is_plain) {
        (true, _) => invalid.with_hint("put it in quotes"),
        (_, true) => invalid.with_hint("leave the quotes out"),
        _ => invalid,
    }
}

/// Rust's names of types in an operator's words.
fn plain_type(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65,535",
        "u32" => "a whole number from 0 to 4,294,967,295",
        "u64" | "usize" => "a whole number from 0 to 9,223,372,036,854,775,807",
        "a boolean" | "bool" => "true or false",
        "a string" | "string" | "path string" => "a string",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        address if address.contains("socket address") => {
            "an IP address with a port up to 65,535, such as 127.0.0.1:3000"
        }
        section if section.starts_with("struct ") || section == "a map" => "a section with settings",
        other => other,
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
