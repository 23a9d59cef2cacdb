//! `docs/reference/settings.md`: the doc comments of the settings, with the defaults of the code.

use std::collections::BTreeMap;

use serde_json::Value;
use switchboard_server::Config;
use switchboard_testkit::generated;

use super::{cell, grouped, note};

/// Sources of the structs that hold settings.
const SOURCES: &[&str] = &[
    include_str!("../../../src/config.rs"),
    include_str!("../../../src/config/api.rs"),
    include_str!("../../../src/config/auth.rs"),
    include_str!("../../../src/config/clients.rs"),
    include_str!("../../../src/config/console.rs"),
    include_str!("../../../src/config/emit.rs"),
    include_str!("../../../src/config/history.rs"),
    include_str!("../../../src/config/overflow.rs"),
    include_str!("../../../src/config/handlers.rs"),
    include_str!("../../../src/config/hooks.rs"),
    include_str!("../../../src/config/inbox.rs"),
    include_str!("../../../src/config/koji.rs"),
    include_str!("../../../src/config/mesa.rs"),
    include_str!("../../../src/config/page.rs"),
    include_str!("../../../src/config/internal.rs"),
    include_str!("../../../src/config/process.rs"),
    include_str!("../../../src/config/projects.rs"),
    include_str!("../../../src/config/redis.rs"),
    include_str!("../../../src/config/reports.rs"),
    include_str!("../../../src/config/resume.rs"),
    include_str!("../../../src/config/traces.rs"),
    include_str!("../../../src/config/tls.rs"),
    include_str!("../../../src/config/acme.rs"),
    include_str!("../../../../switchboard/src/node/limits.rs"),
];

/// A field of a struct of settings.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) of_type: String,
    pub(super) doc: String,
}

/// The fields of each struct, in their order.
pub(super) fn structs() -> BTreeMap<String, Vec<Field>> {
    let mut structs: BTreeMap<String, Vec<Field>> = BTreeMap::new();
    let (mut current, mut doc, mut rename) = (None, Vec::new(), None);
    for line in SOURCES.iter().flat_map(|source| source.lines()) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("pub struct ") {
            current = rest.strip_suffix(" {").map(str::to_owned);
            doc.clear();
        } else if line == "}" {
            current = None;
        } else if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text);
        } else if let Some((_, name)) = line.split_once("rename = \"") {
            rename = name.split('"').next().map(str::to_owned);
        } else if let (Some(name), Some((field, of_type))) = (&current, field(line)) {
            let field = Field {
                name: rename.take().unwrap_or(field),
                of_type,
                doc: std::mem::take(&mut doc).join(" "),
            };
            structs.entry(name.clone()).or_default().push(field);
        }
    }
    structs
}

/// `pub name: Type,` as name and type, the type without `Option`.
fn field(line: &str) -> Option<(String, String)> {
    let (name, of_type) = line.strip_prefix("pub ")?.strip_suffix(',')?.split_once(": ")?;
    let of_type =
        of_type.strip_prefix("Option<").and_then(|inner| inner.strip_suffix('>')).unwrap_or(of_type);
    Some((name.to_owned(), of_type.to_owned()))
}

/// The sentences of a doc comment that are not about the default, and those that are.
pub(super) fn split_default(doc: &str) -> (String, String) {
    let (default, rest): (Vec<&str>, Vec<&str>) =
        doc.split_inclusive(". ").map(str::trim).partition(|sentence| sentence.starts_with("Default"));
    let default = default.join(" ");
    let default = default.trim_start_matches("Default").trim_start_matches([':', ' ']).trim_end_matches('.');
    (rest.join(" "), default.to_owned())
}

/// The default of a setting: the value in the code, or the doc comment's words if the code has none.
fn default(value: Option<&Value>, words: &str) -> String {
    match value {
        Some(Value::Number(number)) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Some(Value::Array(list)) if list.is_empty() => words.to_owned(),
        Some(Value::Array(_) | Value::Bool(_) | Value::String(_)) => {
            let text = value.map(ToString::to_string).unwrap_or_default();
            format!("`{}`", text.trim_matches('"'))
        }
        _ => words.to_owned(),
    }
}

struct Table {
    structs: BTreeMap<String, Vec<Field>>,
    defaults: Value,
    /// The rows of the settings without a section.
    top: String,
    sections: String,
}

impl Table {
    fn rows(&self, of_type: &str, key: &str) -> String {
        let mut rows = String::new();
        for field in &self.structs[of_type] {
            let key = if key.is_empty() { field.name.clone() } else { format!("{key}.{}", field.name) };
            let inner =
                field.of_type.strip_prefix("BTreeMap<String, ").and_then(|inner| inner.strip_suffix('>'));
            if inner.is_some() || self.structs.contains_key(&field.of_type) {
                rows += &match inner {
                    // Its settings are those of `projects.every`.
                    Some(_) => format!("| `{key}.ID.…` | none | {} |\n", cell(&field.doc)),
                    None => self.rows(&field.of_type, &key),
                };
                continue;
            }
            let (text, words) = split_default(&field.doc);
            assert!(!text.is_empty(), "{key} has no description");
            let value = self.defaults.pointer(&format!("/{}", key.replace('.', "/")));
            let value = value.filter(|value| !value.is_null());
            let default = default(value, &words);
            assert!(!default.is_empty(), "{key} has no default, neither in the code nor in its description");
            rows += &format!("| `{key}` | {} | {} |\n", cell(&default), cell(&text));
        }
        rows
    }

    fn build(mut self) -> String {
        const HEAD: &str = "| setting | default | meaning |\n|---|---|---|\n";
        let fields: Vec<(String, String, String)> = self.structs["Config"]
            .iter()
            .map(|field| (field.name.clone(), field.of_type.clone(), field.doc.clone()))
            .collect();
        for (name, of_type, doc) in fields {
            if !self.structs.contains_key(&of_type) {
                let (text, default) = split_default(&doc);
                self.top += &format!("| `{name}` | {} | {} |\n", cell(&default), cell(&text));
                continue;
            }
            self.sections += &format!("\n## {name}\n\n{doc}\n\n{HEAD}{}", self.rows(&of_type, &name));
        }
        [HEAD, &self.top, &self.sections].concat()
    }
}

#[test]
fn the_generated_settings_are_current() {
    let defaults = serde_json::to_value(Config::default()).expect("settings are data");
    let table = Table { structs: structs(), defaults, top: String::new(), sections: String::new() };
    let intro = "# Settings\n\n[Configuration](../guides/configuration.md) explains how to set them: in a TOML file, in the \
                 environment (`SWITCHBOARD_LIMITS__ENABLED=false`), or by flags (`--set limits.enabled=false`). \
                 `switchboard check` prints the effective settings.\n\nA name ends with its unit: `_ms` and `_s` are \
                 milliseconds and seconds, `_max` is the largest value that is accepted. A limit that can be lifted takes \
                 `none` in place of a number; 0 is refused, unless the description says what it means. \
                 `limits.enabled = false` lifts the limits on rates and numbers of connections; sizes stay bounded.\n\n";
    let text = [&note("the doc comments of the settings"), intro, &table.build()].concat();
    generated::assert_current("docs/reference/settings.md", &text);
}

#[test]
fn every_setting_that_can_be_read_is_documented() {
    check_section(&structs(), "Config", "");
}

/// An operator may expect that 0 means no limit, or that it forbids everything.
#[test]
fn zero_is_refused_or_documented_for_every_number() {
    let (mut numbers, mut problems) = (0, Vec::new());
    for_each_setting(&structs(), "Config", "", &mut |key, field| {
        if ["u16", "u32", "u64", "usize", "Duration", "Limit"].contains(&field.of_type.as_str()) {
            numbers += 1;
            problems.extend(problem_with_zero(key, field));
        }
    });
    assert!(numbers > 30, "{numbers}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn problem_with_zero(key: &str, field: &Field) -> Option<String> {
    let is_zero = |word: &str| word == "0" || word.eq_ignore_ascii_case("zero");
    let is_documented = field.doc.split(|character: char| !character.is_alphanumeric()).any(is_zero);
    match Config::load(None, &[format!("{key}=0")]) {
        Ok(_) if is_documented => None,
        Ok(_) => Some(format!("{key}: the description does not say what 0 means: {}", field.doc)),
        Err(error) => {
            let error = error.to_string();
            let names_what_is_allowed = error.starts_with(&format!("{key} is `0` (--set {key}); expected "));
            let can_be_lifted = Config::load(None, &[format!("{key}=none")]).is_ok();
            let names_none = error.contains("or \"none\" for no limit");
            (!names_what_is_allowed || can_be_lifted != names_none).then_some(error)
        }
    }
}

#[test]
fn a_secret_of_a_wrong_type_is_not_shown() {
    let scratch = switchboard_testkit::Scratch::new();
    let mut secrets = Vec::new();
    for_each_setting(&structs(), "Config", "", &mut |key, field| {
        if ["Secret", "Secrets", "Addresses"].contains(&field.of_type.as_str()) {
            secrets.push(key.to_owned());
        }
    });
    assert!(secrets.len() >= 4, "{secrets:?}");
    for key in secrets {
        for value in ["1234567890", "12345.67890", "[\"1234567890\", 1234567890]", "{ a = \"1234567890\" }"] {
            let file = scratch.file("settings.toml");
            std::fs::write(&file, format!("{key} = {value}\n")).expect("the folder is the test's own");
            let error = Config::load(Some(file.as_ref()), &[]).expect_err("it is not a string").to_string();
            assert!(error.contains(&key) && error.contains(&file) && !error.contains("12345"), "{error}");
        }
    }
}

/// Calls `visit` with the key of each setting. Rules of projects are those of every project.
fn for_each_setting(
    structs: &BTreeMap<String, Vec<Field>>,
    of_type: &str,
    section: &str,
    visit: &mut impl FnMut(&str, &Field),
) {
    for field in &structs[of_type] {
        let key = if section.is_empty() { field.name.clone() } else { format!("{section}.{}", field.name) };
        match structs.contains_key(&field.of_type) {
            true => for_each_setting(structs, &field.of_type, &key, visit),
            false => visit(&key, field),
        }
    }
}

/// The fields that serde knows in a section are those with a doc comment.
fn check_section(structs: &BTreeMap<String, Vec<Field>>, of_type: &str, section: &str) {
    let key = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let error = Config::load(None, &[format!("{}=1", key("nonsense"))]);
    let error = error.expect_err("there is no such setting").to_string();
    let fields = &structs[of_type];
    for field in fields {
        assert!(error.contains(&format!("`{}`", field.name)), "{}: {error}", key(&field.name));
        if structs.contains_key(&field.of_type) {
            check_section(structs, &field.of_type, &key(&field.name));
        }
    }
    assert_eq!(error.matches('`').count(), 2 * fields.len(), "{error}");
}
