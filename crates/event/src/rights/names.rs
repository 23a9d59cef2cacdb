//! The patterns of one kind, compiled: exact names, and prefixes with the rights of all shorter prefixes.

use crate::rights::right::Letters;

/// The letters of names. Found by binary search, so that a check costs the same for few and for many patterns.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Sorted, each name once.
    exact: Vec<(Box<str>, Letters)>,
    /// Sorted, each prefix once.
    prefixes: Vec<Prefix>,
}

#[derive(Clone, PartialEq, Eq)]
struct Prefix {
    text: Box<str>,
    /// The letters of this prefix, and of all prefixes that it begins with.
    letters: Letters,
    /// The longest other prefix that this one begins with.
    parent: Option<u16>,
}

impl Names {
    /// Adds a name, or a prefix that ends in `*`. Needs [`compile`](Self::compile) afterwards.
    pub(super) fn add(&mut self, name: &str, letters: Letters) {
        match name.strip_suffix('*') {
            Some(prefix) => self.prefixes.push(Prefix { text: prefix.into(), letters, parent: None }),
            None => self.exact.push((name.into(), letters)),
        }
    }

    /// Sorts the patterns and links each prefix with its parent.
    pub(super) fn compile(&mut self) {
        self.exact.sort_by(|a, b| a.0.cmp(&b.0));
        self.exact.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 = if is_same { kept.1 | next.1 } else { kept.1 };
            is_same
        });
        self.prefixes.sort_by(|a, b| a.text.cmp(&b.text));
        self.prefixes.dedup_by(|next, kept| {
            let is_same = next.text == kept.text;
            kept.letters = if is_same { kept.letters | next.letters } else { kept.letters };
            is_same
        });
        for at in 1..self.prefixes.len() {
            let parent = self.longest_before(at, &self.prefixes[at].text);
            let inherited = parent.map_or(Letters::default(), |parent| self.prefixes[parent].letters);
            self.prefixes[at].parent = parent.map(|parent| parent as u16);
            self.prefixes[at].letters = self.prefixes[at].letters | inherited;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// The letters of a name.
    pub(super) fn of(&self, name: &str) -> Letters {
        let exact = self.exact.binary_search_by(|(exact, _)| (**exact).cmp(name));
        let exact = exact.map_or(Letters::default(), |at| self.exact[at].1);
        exact | self.of_all_with(name)
    }

    /// The letters of all names that begin with a text, which only prefixes give.
    pub(super) fn of_all_with(&self, text: &str) -> Letters {
        let end = self.prefixes.partition_point(|prefix| *prefix.text <= *text);
        self.longest_before(end, text).map_or(Letters::default(), |at| self.prefixes[at].letters)
    }

    /// The index of the longest prefix of a text, of the first `end` prefixes, which precede the text in the order.
    ///
    /// Everything between the longest prefix of a text and the text itself begins with that prefix, so it is the last
    /// one before the text, or a parent of the last one.
    fn longest_before(&self, end: usize, text: &str) -> Option<usize> {
        let mut at = end.checked_sub(1);
        while let Some(candidate) = at
            && !text.starts_with(&*self.prefixes[candidate].text)
        {
            at = self.prefixes[candidate].parent.map(usize::from);
        }
        at
    }
}

/// Shows the number of patterns: names may be secret, and a token may have many.
impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} patterns", self.exact.len() + self.prefixes.len())
    }
}
