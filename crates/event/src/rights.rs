//! Rights: what a client may do with rooms, shards, users, tags and sockets.
//!
//! A set of rights maps patterns to letters, such as `{"#chat-*": "jshp", "#news": "jh"}`. A pattern is a name or,
//! with one `*` at its end, a prefix of names. Rights add up: a client may do what any pattern allows. They are
//! compiled once, when a token or the settings are read; a [check](Rights::allow) neither allocates nor locks.

mod names;
mod right;

use std::fmt;

pub use crate::rights::right::Right;

use crate::rights::names::Names;
use crate::rights::right::Letters;
use crate::{SocketId, Target};

/// Most patterns of one set of rights.
pub const PATTERNS_MAX: usize = 256;

/// Longest pattern in bytes: its kind, such as `shard:`, and the longest name.
pub const PATTERN_BYTES_MAX: usize = crate::NAME_BYTES_MAX + 8;

/// The beginning of the names of automatic shards.
pub const AUTOMATIC_SHARD_PREFIX: &str = "shard-";

/// What a right is about. Each variant stands for one kind of pattern and has the pattern's name, without its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource<'a> {
    /// All sockets of the project: `@everyone`.
    Everyone,
    /// A room, without its sigil: `#NAME`.
    Room(&'a str),
    /// A shard: `shard:NAME`.
    Shard(&'a str),
    /// A shard whose name the server chooses. Only a pattern that covers all names of automatic shards allows it, such
    /// as `shard:shard-*`.
    AutomaticShard,
    /// A user: `user:ID`.
    User(&'a str),
    /// A tag, without its sigil: `tag:NAME`.
    Tag(&'a str),
    /// A socket: `socket:ID`.
    Socket(SocketId),
}

impl<'a> From<&'a Target> for Resource<'a> {
    fn from(target: &'a Target) -> Self {
        match target {
            Target::Everyone => Resource::Everyone,
            Target::Socket(id) => Resource::Socket(*id),
            Target::User(id) => Resource::User(id),
            Target::Room(name) => Resource::Room(&name[1..]),
            Target::Tag(name) => Resource::Tag(&name[1..]),
        }
    }
}

/// A room is `#name` and a tag `*name`, as in the methods that send.
impl<'a> From<&'a str> for Resource<'a> {
    fn from(name: &'a str) -> Self {
        match name.strip_prefix('*') {
            Some(tag) => Resource::Tag(tag),
            None => Resource::Room(name.strip_prefix('#').unwrap_or(name)),
        }
    }
}

/// The resource as the text of a pattern.
impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Everyone => f.write_str("@everyone"),
            Resource::Room(name) => write!(f, "#{name}"),
            Resource::Shard(name) => write!(f, "shard:{name}"),
            Resource::AutomaticShard => write!(f, "shard:{AUTOMATIC_SHARD_PREFIX}*"),
            Resource::User(id) => write!(f, "user:{id}"),
            Resource::Tag(name) => write!(f, "tag:{name}"),
            Resource::Socket(id) => write!(f, "socket:{id}"),
        }
    }
}

/// Why patterns and letters are no rights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RightsError {
    /// There are more than [`PATTERNS_MAX`].
    #[error("expected at most {PATTERNS_MAX} patterns")]
    TooMany,
    /// A pattern is longer than [`PATTERN_BYTES_MAX`].
    #[error("the pattern `{0}…` is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong(String),
    /// A pattern is of no known kind.
    #[error(
        "`{0}` is no pattern; expected `#room`, `shard:name`, `user:id`, `tag:name`, `socket:id`, `@everyone` or `*`"
    )]
    Kind(String),
    /// The kind is not followed by a name.
    #[error("`{0}` has no name; `{0}*` means every name")]
    NoName(String),
    /// A `*` is not the last character.
    #[error("`{0}` has a `*` before its end, where it has no meaning")]
    Star(String),
    /// A letter is none of the four.
    #[error(
        "`{pattern}` has the letter `{letter}`; expected j (join), s (send), h (history) and p (presence)"
    )]
    Letter {
        /// The pattern.
        pattern: String,
        /// The letter.
        letter: char,
    },
}

/// A compiled set of rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    rooms: Names,
    shards: Names,
    users: Names,
    tags: Names,
    sockets: Names,
    everyone: Names,
}

impl Rights {
    /// Reads patterns with their letters. The same pattern may occur more than once.
    ///
    /// ```
    /// use switchboard_event::{Resource, Right, Rights};
    ///
    /// let rights = Rights::new([("#chat-*", "js"), ("user:*", "s")])?;
    /// assert!(rights.allow(Right::Join, Resource::Room("chat-1")));
    /// assert!(!rights.allow(Right::History, Resource::Room("chat-1")));
    /// # Ok::<(), switchboard_event::RightsError>(())
    /// ```
    pub fn new<'a>(patterns: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, RightsError> {
        let mut rights = Rights::default();
        for (number, (pattern, letters)) in patterns.into_iter().enumerate() {
            if number == PATTERNS_MAX {
                return Err(RightsError::TooMany);
            }
            rights.add(pattern, letters)?;
        }
        rights.all_names().into_iter().for_each(Names::compile);
        Ok(rights)
    }

    /// All rights on everything.
    pub fn everything() -> Self {
        Rights::new([("*", "jshp")]).expect("a star is a pattern")
    }

    fn all_names(&mut self) -> [&mut Names; 6] {
        let Rights { rooms, shards, users, tags, sockets, everyone } = self;
        [rooms, shards, users, tags, sockets, everyone]
    }

    fn add(&mut self, pattern: &str, letters: &str) -> Result<(), RightsError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(RightsError::TooLong(pattern.chars().take(32).collect()));
        }
        let star = pattern.find('*');
        if star.is_some_and(|star| star + 1 < pattern.len()) {
            return Err(RightsError::Star(pattern.into()));
        }
        let letters = Letters::read(letters)
            .map_err(|letter| RightsError::Letter { pattern: pattern.into(), letter })?;
        if pattern == "*" {
            self.all_names().into_iter().for_each(|names| names.add("*", letters));
            return Ok(());
        }
        if pattern == "@everyone" {
            self.everyone.add("*", letters);
            return Ok(());
        }
        let kinds = [
            ("#", &mut self.rooms),
            ("shard:", &mut self.shards),
            ("user:", &mut self.users),
            ("tag:", &mut self.tags),
            ("socket:", &mut self.sockets),
        ];
        let found = kinds.into_iter().find_map(|(kind, names)| Some((names, pattern.strip_prefix(kind)?)));
        let Some((names, name)) = found else { return Err(RightsError::Kind(pattern.into())) };
        if name.is_empty() {
            return Err(RightsError::NoName(pattern.into()));
        }
        names.add(name, letters);
        Ok(())
    }

    /// Returns true if a pattern allows it.
    pub fn allow(&self, right: Right, resource: Resource<'_>) -> bool {
        let letters = match resource {
            Resource::Everyone => self.everyone.of(""),
            Resource::Room(name) => self.rooms.of(name),
            Resource::Shard(name) => self.shards.of(name),
            Resource::AutomaticShard => self.shards.of_all_with(AUTOMATIC_SHARD_PREFIX),
            Resource::User(id) => self.users.of(id),
            Resource::Tag(name) => self.tags.of(name),
            Resource::Socket(id) => {
                if self.sockets.is_empty() {
                    return false;
                }
                self.sockets.of(id.to_text(&mut [0; SocketId::TEXT_LEN]))
            }
        };
        letters.contains(right)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters() -> impl Strategy<Value = String> {
        "[jshp]{0,4}"
    }

    fn name() -> impl Strategy<Value = String> {
        // Few letters, so that names and prefixes often meet.
        "[ab-]{1,4}"
    }

    fn pattern() -> impl Strategy<Value = String> {
        let kind = prop_oneof![Just("#"), Just("shard:"), Just("user:"), Just("tag:")];
        let named =
            (kind, "[ab-]{0,4}", any::<bool>()).prop_filter_map("no name", |(kind, name, is_prefix)| {
                let star = if is_prefix { "*" } else { "" };
                (is_prefix || !name.is_empty()).then(|| format!("{kind}{name}{star}"))
            });
        prop_oneof![
            8 => named,
            1 => Just("@everyone".to_owned()),
            1 => Just("socket:*".to_owned()),
            1 => Just("*".to_owned()),
            1 => prop_oneof![Just("shard:s*"), Just("shard:shard-*"), Just("shard:shard-1*")].prop_map(String::from),
        ]
    }

    /// The definition: the text of a resource matches a pattern if it is equal to it, or begins with the pattern
    /// without its star.
    fn matches(pattern: &str, resource: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => resource.starts_with(prefix),
            None => pattern == resource,
        }
    }

    fn model(patterns: &[(String, String)], right: Right, resource: Resource<'_>) -> bool {
        let text = match resource {
            Resource::AutomaticShard => format!("shard:{AUTOMATIC_SHARD_PREFIX}"),
            resource => resource.to_string(),
        };
        patterns.iter().any(|(pattern, letters)| {
            // Every automatic shard, whatever follows the prefix: a name alone is not enough.
            let covers = resource != Resource::AutomaticShard || pattern.ends_with('*');
            covers && letters.contains(right.letter()) && matches(pattern, &text)
        })
    }

    proptest! {
        #[test]
        fn rights_allow_what_any_of_their_patterns_allows(
            patterns in prop::collection::vec((pattern(), letters()), 0..12),
            names in prop::collection::vec(name(), 1..8),
        ) {
            let rights = Rights::new(patterns.iter().map(|(p, l)| (p.as_str(), l.as_str()))).unwrap();
            let named = names.iter().flat_map(|name| {
                [Resource::Room(name), Resource::Shard(name), Resource::User(name), Resource::Tag(name)]
            });
            let others = [Resource::Everyone, Resource::AutomaticShard, Resource::Socket(SocketId::random())];
            for resource in named.chain(others) {
                for right in Right::ALL {
                    prop_assert_eq!(
                        rights.allow(right, resource),
                        model(&patterns, right, resource),
                        "{} on {}", right, resource
                    );
                }
            }
        }

        #[test]
        fn a_further_pattern_never_takes_a_right_away(
            patterns in prop::collection::vec((pattern(), letters()), 1..8),
            name in name(),
        ) {
            let pairs = |patterns: &[(String, String)]| {
                Rights::new(patterns.iter().map(|(p, l)| (p.as_str(), l.as_str()))).unwrap()
            };
            let (fewer, all) = (pairs(&patterns[1..]), pairs(&patterns));
            for resource in [Resource::Room(&name), Resource::Shard(&name), Resource::User(&name)] {
                for right in Right::ALL {
                    prop_assert!(!fewer.allow(right, resource) || all.allow(right, resource));
                }
            }
        }
    }

    #[test]
    fn an_invalid_pattern_is_refused_with_the_likely_fix() {
        for (pattern, letters, named) in [
            ("lobby", "j", "`#room`"),
            ("", "j", "`#room`"),
            ("everyone", "s", "`@everyone`"),
            ("@all", "s", "`@everyone`"),
            ("*admin", "j", "before its end"),
            ("#a*b", "j", "before its end"),
            ("#a**", "j", "before its end"),
            ("#", "j", "`#*` means every name"),
            ("user:", "s", "`user:*` means every name"),
            ("users:*", "s", "`user:id`"),
            ("#a", "x", "the letter `x`"),
            ("#a", "J", "the letter `J`"),
            ("#a", "j,s", "the letter `,`"),
        ] {
            let error = Rights::new([(pattern, letters)]).expect_err(pattern).to_string();
            assert!(error.contains(named), "{pattern}: {error}");
        }
        let long = format!("#{}", "x".repeat(PATTERN_BYTES_MAX));
        assert!(matches!(Rights::new([(long.as_str(), "j")]), Err(RightsError::TooLong(_))));
        assert_eq!(Rights::new([("#a", "j"); PATTERNS_MAX + 1]), Err(RightsError::TooMany));
        assert!(Rights::new([("#a", "j"); PATTERNS_MAX]).is_ok());
    }

    #[test]
    fn a_single_socket_can_be_named() {
        let id = SocketId::random();
        let pattern = format!("socket:{id}");
        let rights = Rights::new([(pattern.as_str(), "s")]).unwrap();
        assert!(rights.allow(Right::Send, Resource::Socket(id)));
        assert!(!rights.allow(Right::Send, Resource::Socket(SocketId::random())));
    }

    #[test]
    fn a_target_is_a_resource_without_its_sigil() {
        for (target, text) in [
            (Target::room("lobby").unwrap(), "#lobby"),
            (Target::room("##lobby").unwrap(), "##lobby"),
            (Target::tag("admin").unwrap(), "tag:admin"),
            (Target::user("#7").unwrap(), "user:#7"),
            (Target::Everyone, "@everyone"),
        ] {
            assert_eq!(Resource::from(&target).to_string(), text);
        }
        assert_eq!(Resource::from("lobby"), Resource::Room("lobby"));
        assert_eq!(Resource::from("*admin"), Resource::Tag("admin"));
    }
}
