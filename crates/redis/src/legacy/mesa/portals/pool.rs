//! The pool of Portals: those that are ready, and those that may be gone.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;

/// Maximum number of Portals in the pool. Further Portals get no reports.
const PORTALS_MAX: usize = 4096;

/// Number of remembered Portals that have left, so that an older read of the set does not add them again.
const GONE_MAX: usize = 256;

/// The known Portals.
pub(super) struct Pool {
    ids: Vec<String>,
    gone: VecDeque<String>,
    /// Portals that may be gone: a report had no subscriber. They were killed, or have not subscribed yet.
    suspects: Vec<String>,
    /// Index of the Portal that got the last report.
    last: usize,
    round_robin: bool,
}

#[derive(Deserialize)]
struct Readiness<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    ready: bool,
}

impl Pool {
    pub(super) fn new(round_robin: bool) -> Self {
        Pool { ids: Vec::new(), gone: VecDeque::new(), suspects: Vec::new(), last: 0, round_robin }
    }

    pub(super) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Applies an announcement of a Portal.
    pub(super) fn apply_announcement(&mut self, message: &[u8]) -> Result<(), serde_json::Error> {
        let Readiness { id, ready } = serde_json::from_slice(message)?;
        if ready {
            self.gone.retain(|gone| *gone != id);
            self.suspects.retain(|suspect| *suspect != id);
            self.add(id.into_owned());
        } else {
            self.ids.retain(|known| *known != id);
            self.suspects.retain(|suspect| *suspect != id);
            self.gone.push_back(id.into_owned());
            if self.gone.len() > GONE_MAX {
                self.gone.pop_front();
            }
        }
        Ok(())
    }

    /// Adds the ids of the set, except suspects. The set may be older than the last announcements: a Portal
    /// that is ready may be missing, and one that has left may still be there.
    pub(super) fn add_all(&mut self, ids: Vec<Vec<u8>>) {
        for id in ids {
            if let Ok(id) = String::from_utf8(id)
                && !self.gone.contains(&id)
                && !self.suspects.contains(&id)
            {
                self.add(id);
            }
        }
    }

    /// Reports had no subscriber: all known Portals, and those of the set, become suspects.
    pub(super) fn suspect_all(&mut self, ids: Vec<Vec<u8>>) {
        self.add_all(ids);
        self.suspects.append(&mut self.ids);
        self.suspects.truncate(PORTALS_MAX);
    }

    /// Number of suspects.
    pub(super) fn suspects(&self) -> usize {
        self.suspects.len()
    }

    /// Adds all suspects to the pool again.
    pub(super) fn trust_all(&mut self) {
        for id in std::mem::take(&mut self.suspects) {
            self.add(id);
        }
    }

    fn add(&mut self, id: String) {
        if id.len() <= 256 && self.ids.len() < PORTALS_MAX && !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// Forgets all Portals, because announcements may have been missed.
    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.suspects.clear();
    }

    /// The Portal for the next report. The second is first, as with the original. `None` if there is none.
    pub(super) fn next(&mut self) -> Option<&str> {
        if self.ids.is_empty() {
            return None;
        }
        self.last = match self.round_robin {
            true => (self.last + 1) % self.ids.len(),
            false => rand::random_range(0..self.ids.len()),
        };
        Some(&self.ids[self.last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(id: &str, ready: bool) -> Vec<u8> {
        format!(r#"{{"id":"{id}","ready":{ready}}}"#).into()
    }

    fn pool(ids: &[&str]) -> Pool {
        let mut pool = Pool::new(true);
        ids.iter().for_each(|id| pool.apply_announcement(&ready(id, true)).unwrap());
        pool
    }

    #[test]
    fn round_robin_begins_with_the_second_portal() {
        let mut pool = pool(&["a", "b", "c"]);
        let chosen: Vec<String> = (0..4).map(|_| pool.next().unwrap().to_owned()).collect();
        assert_eq!(chosen, ["b", "c", "a", "b"]);
        assert_eq!(Pool::new(true).next(), None);
    }

    #[test]
    fn without_round_robin_every_portal_is_chosen_at_random() {
        let mut pool = Pool { round_robin: false, ..pool(&["a", "b"]) };
        let mut is_chosen = |id: &str| (0..1000).any(|_| pool.next() == Some(id));
        assert!(is_chosen("a") && is_chosen("b"));
    }

    #[test]
    fn ids_are_unique_and_unknown_portals_cannot_leave() {
        let mut pool = pool(&["a", "b", "a"]);
        pool.apply_announcement(&ready("stranger", false)).unwrap();
        pool.add_all(vec![b"b".to_vec(), b"c".to_vec(), vec![0xff]]);
        assert_eq!(pool.ids(), ["a", "b", "c"]);
        pool.apply_announcement(&ready("a", false)).unwrap();
        pool.add_all(vec![b"a".to_vec()]);
        assert_eq!(pool.ids(), ["b", "c"], "an older list does not add a portal that has left");
        pool.apply_announcement(&ready("a", true)).unwrap();
        assert_eq!(pool.ids(), ["b", "c", "a"]);
        for garbage in ["", "{}", "null", r#"{"id":7,"ready":true}"#, r#"{"id":"x"}"#] {
            assert!(pool.apply_announcement(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn a_suspect_gets_no_reports_until_it_announces_itself_or_is_trusted_again() {
        let mut pool = pool(&["a", "b"]);
        pool.suspect_all(vec![b"c".to_vec()]);
        assert_eq!((pool.ids().len(), pool.next()), (0, None));
        pool.apply_announcement(&ready("b", true)).unwrap();
        pool.add_all(vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec(), b"d".to_vec()]);
        assert_eq!(pool.ids(), ["b", "d"]);
        pool.apply_announcement(&ready("c", false)).unwrap();
        assert_eq!(pool.suspects(), 1);
        pool.trust_all();
        assert_eq!((pool.ids(), pool.suspects()), (&["b", "d", "a"].map(String::from)[..], 0));
    }
}
