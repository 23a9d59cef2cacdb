//! What holds in a project.

use switchboard_wire::koji::MESSAGE_UNITS_MAX;

/// The rules of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRules {
    /// Seats of an automatic shard where the client asks for no number, or for one that cannot be.
    /// Default 100.
    pub capacity_default: u32,
    /// Most seats that a client may ask for; who asks for more gets these. Default and most 10,000.
    pub capacity_max: u32,
    /// Whether who asks by name for a shard that is full gets an automatic one. Default false: a
    /// named shard takes in everyone.
    pub named_overflow: bool,
    /// Most clients of the project. Default none; one more is closed with 1013.
    pub connections_max: Option<usize>,
    /// Whether only clients with a user may emit; what others emit is ignored. Default false.
    pub emit_needs_identity: bool,
    /// Names of events that clients may emit; one that ends in `*` stands for all that begin so.
    /// Others are ignored. Default none: all.
    pub events: Option<Vec<String>>,
    /// Longest message of a client in UTF-16 units; longer ones are ignored. Default and most
    /// 128,000.
    pub message_units_max: usize,
    /// Most bytes of a client's user info as JSON; more is ignored. Default 16 KiB.
    pub user_info_bytes_max: usize,
}

impl Default for ProjectRules {
    fn default() -> Self {
        ProjectRules {
            capacity_default: 100,
            capacity_max: ProjectRules::SEATS_MAX,
            named_overflow: false,
            connections_max: None,
            emit_needs_identity: false,
            events: None,
            message_units_max: MESSAGE_UNITS_MAX,
            user_info_bytes_max: 16 * 1024,
        }
    }
}

impl ProjectRules {
    /// No shard has more automatic seats than this.
    pub const SEATS_MAX: u32 = 10_000;

    /// Seats for a client that asks for so many. A wish that is no whole number from 1 to 10,000,
    /// once its fraction is cut off, counts for none.
    pub(crate) fn capacity(&self, asked: Option<&str>) -> u32 {
        let number = asked.and_then(|text| text.trim().parse::<f64>().ok()).map(f64::floor);
        let possible = 1.0..=f64::from(ProjectRules::SEATS_MAX);
        let wish = number.filter(|number| possible.contains(number)).map(|number| number as u32);
        wish.unwrap_or(self.capacity_default).min(self.capacity_max).max(1)
    }

    pub(crate) fn allows(&self, event: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => event.starts_with(beginning),
            None => event == pattern,
        };
        self.events.as_ref().is_none_or(|events| events.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silly_capacity_counts_for_none() {
        let rules = ProjectRules::default();
        for (asked, seats) in
            [("1", 1), ("25", 25), ("25.9", 25), (" 7 ", 7), ("1e2", 100), ("10000", 10_000)]
        {
            assert_eq!(rules.capacity(Some(asked)), seats, "{asked}");
        }
        for silly in
            ["", "0", "0.9", "-1", "10001", "1e9", "NaN", "Infinity", "inf", "null", "0x10", "ten", "[5]"]
        {
            assert_eq!(rules.capacity(Some(silly)), 100, "{silly}");
        }
        assert_eq!(rules.capacity(None), 100);
    }

    #[test]
    fn nobody_gets_more_seats_than_the_project_allows() {
        let rules = ProjectRules { capacity_max: 20, ..ProjectRules::default() };
        assert_eq!(
            (rules.capacity(Some("21")), rules.capacity(None), rules.capacity(Some("5"))),
            (20, 20, 5)
        );
    }

    #[test]
    fn events_are_allowed_by_name_or_by_beginning() {
        let events = Some(vec!["tap".into(), "chat_*".into()]);
        let rules = ProjectRules { events, ..ProjectRules::default() };
        assert!(rules.allows("tap") && rules.allows("chat_") && rules.allows("chat_line"));
        assert!(!rules.allows("taps") && !rules.allows("chat") && !rules.allows("*"));
        assert!(ProjectRules::default().allows("anything"));
    }
}
