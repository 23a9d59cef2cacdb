//! `crates/server/src/config/annotated.toml`: what `switchboard config init` writes, from the doc comments of the settings.

use std::collections::BTreeMap;

use switchboard_server::Config;
use switchboard_testkit::{Scratch, generated};
use toml::{Table, Value};

use super::settings::{Field, split_default, structs};

const HEAD: &str = "\
# Settings of Switchboard.
#
# Every setting is here with its default. To change one, remove the # in front of it and change the value.
# Lines without a # are sections; a setting belongs to the section above it.
#
#   switchboard check --config FILE    finds mistakes, and shows the settings in effect
#   switchboard serve --config FILE    runs the server
#
# Variables override this file: SWITCHBOARD_LIMITS__MESSAGES_PER_S=100 sets messages_per_s of [limits].
# All explanations in full are in docs/reference/settings.md.
";

/// Values of settings that have none by default.
const EXAMPLES: &[(&str, &str)] = &[
    ("access", r#""tokens""#),
    ("tls.redirect_listen", r#""0.0.0.0:80""#),
    ("tls.acme.contact", r#""mailto:ops@chat.example""#),
    ("tls.acme.directory_ca_file", r#""/etc/switchboard/acme-ca.pem""#),
    ("api.client_ca_file", r#""/etc/switchboard/backends-ca.pem""#),
    ("internal.listen", r#""127.0.0.1:3001""#),
    ("clients.allowed_origins", r#"["https://example.com"]"#),
    ("clients.forwarded_header", r#""x-forwarded-for""#),
    ("api.keys", r#"["at least 16 bytes; openssl rand -hex 32 prints a good one"]"#),
    ("auth.jwt_secret", r#""at least 32 bytes; openssl rand -hex 32 prints a good one""#),
    ("auth.jwks_url", r#""https://id.example.com/.well-known/jwks.json""#),
    ("auth.jwks_ca_file", r#""/etc/switchboard/ca.pem""#),
    ("auth.issuer", r#""https://id.example.com""#),
    ("auth.audience", r#""chat""#),
    ("auth.cookie", r#""session""#),
    ("auth.projects", r#"["chess"]"#),
    ("mesa.namespace", r#""api""#),
    ("mesa.enforce_equal_versions", r#""1.5.8""#),
    ("projects.every.can", r##"{ "#news" = "jh", "shard:*" = "jsp" }"##),
    ("projects.every.capacity_default", "20"),
    ("projects.every.capacity_max", "50"),
    ("projects.every.named_overflow", "true"),
    ("projects.every.connections_max", "1000"),
    ("projects.every.resume", "false"),
    ("projects.every.emit_needs_identity", "true"),
    ("projects.every.events", r#"["move", "chat_*"]"#),
    ("projects.every.message_units_max", "10000"),
    ("projects.every.recipients_max", "100"),
    ("projects.every.user_info_bytes_max", "1000"),
    ("projects.every.shard_info_bytes_max", "100000"),
    ("history.file", r#""switchboard-history.redb""#),
    ("hooks.file", r#""switchboard-hooks.redb""#),
    ("redis.url", r#""redis://127.0.0.1:6379""#),
    ("redis.master", r#""switchboard""#),
    ("redis.sentinel_password", r#""the password of the sentinels""#),
    ("redis.ca_file", r#""/etc/switchboard/redis-ca.pem""#),
];

/// Sections with names that an operator chooses, with the settings of such a section.
const NAMED: &[(&str, &str, &str)] = &[
    (
        "api.named_keys",
        "shop",
        "keys = [\"at least 16 bytes; openssl rand -hex 32 prints a good one\"]\nscopes = [\"read\", \"send\"]",
    ),
    ("auth.issuers", "partner", r#"jwks_url = "https://partner.example/jwks.json""#),
    ("history.rooms", "\"chat-*\"", "messages_max = 100"),
    ("overflow.rooms", "\"cursors-*\"", r#"policy = "latest""#),
    (
        "handlers.backends",
        "chat",
        "url = \"https://backend.example.com/events\"\nevents = [\"@connect\", \"/chat/*\"]",
    ),
    (
        "hooks.endpoints",
        "chat",
        "url = \"https://backend.example.com/hooks\"\nevents = [\"connected\", \"disconnected\"]",
    ),
    ("projects.named", "chess", "capacity_max = 2"),
];

struct Annotated {
    structs: BTreeMap<String, Vec<Field>>,
    defaults: Table,
    text: String,
}

impl Annotated {
    fn build() -> String {
        let defaults = Table::try_from(defaults()).expect("settings can be written as TOML");
        let mut annotated = Annotated { structs: structs(), defaults, text: HEAD.to_owned() };
        annotated.section("Config", "");
        annotated.text
    }

    /// The settings of a section, then the sections inside it: TOML has them in this order.
    fn section(&mut self, of_type: &str, section: &str) {
        let key = |field: &Field| match section {
            "" => field.name.clone(),
            section => format!("{section}.{}", field.name),
        };
        let fields = self.structs[of_type].clone();
        let is_section = |field: &&Field| {
            self.structs.contains_key(&field.of_type) || field.of_type.starts_with("BTreeMap<")
        };
        let (sections, settings): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(is_section);
        settings.iter().for_each(|field| self.setting(&key(field), field));
        for field in sections {
            let (key, doc) = (key(field), first_sentence(&field.doc));
            match field.of_type.starts_with("BTreeMap<") {
                true => {
                    let (_, name, line) = NAMED
                        .iter()
                        .find(|(named, ..)| *named == key)
                        .unwrap_or_else(|| panic!("{key} needs an example"));
                    let lines = line.replace('\n', "\n#   ");
                    self.text += &format!("\n# {doc}\n# Example:\n#   [{key}.{name}]\n#   {lines}\n");
                }
                false => {
                    self.text += &format!("\n# {doc}\n[{key}]\n");
                    self.section(&field.of_type, &key);
                }
            }
        }
    }

    fn setting(&mut self, key: &str, field: &Field) {
        let (text, words) = split_default(&field.doc);
        let text = first_sentence(&text);
        self.text += "\n";
        self.text += &match (value_at(&self.defaults, key), EXAMPLES.iter().find(|(name, _)| *name == key)) {
            (Some(value), None) => format!("# {text}\n#{} = {value}\n", field.name),
            (None, Some((_, example))) => {
                format!("# {text}\n# Default: {words}. Example:\n# {} = {example}\n", field.name)
            }
            (value, example) => panic!("{key} has {value:?} and {example:?}"),
        };
    }
}

/// The settings without any source.
fn defaults() -> Config {
    Config::load(None, &[]).expect("the defaults are valid")
}

fn value_at<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => value_at(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn first_sentence(doc: &str) -> &str {
    doc.split_inclusive(". ").next().unwrap_or_default().trim_end()
}

/// Reads a file of settings.
fn load(text: &str) -> Config {
    let scratch = Scratch::new();
    let file = scratch.file("switchboard.toml");
    std::fs::write(&file, text).expect("the folder is the test's own");
    Config::load(Some(file.as_ref()), &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_generated_annotated_file_is_current() {
    generated::assert_current("crates/server/src/config/annotated.toml", &Annotated::build());
}

#[test]
fn the_annotated_file_has_the_defaults_also_when_every_setting_is_uncommented() {
    assert_eq!(load(Config::ANNOTATED), defaults());
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let settings = Config::ANNOTATED.lines().filter(is_setting).count();
    assert!(settings > 80, "{settings}");
    let uncommented: Vec<&str> =
        Config::ANNOTATED.lines().map(|line| if is_setting(&line) { &line[1..] } else { line }).collect();
    assert_eq!(load(&uncommented.join("\n")), defaults());
}

#[test]
fn every_example_of_the_annotated_file_can_be_read() {
    for (key, value) in EXAMPLES {
        let text = match key.rsplit_once('.') {
            Some((section, name)) => format!("[{section}]\n{name} = {value}\n"),
            None => format!("{key} = {value}\n"),
        };
        let table: Table = text.parse().expect("it is TOML");
        // Checks that need a file, or other settings, come after reading.
        let config: Result<Config, _> = table.try_into();
        assert!(config.is_ok(), "{key}: {:?}", config.err());
    }
    for (section, name, line) in NAMED {
        load(&format!("[{section}.{name}]\n{line}\n"));
    }
}
