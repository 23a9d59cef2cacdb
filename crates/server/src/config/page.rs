//! Settings of the page at `/`.

use serde::{Deserialize, Serialize};

/// Settings of the page that `serve` has at `/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// `local` shows the page to browsers on the server's own machine, `everyone` to every browser, `off` to none. It
    /// names the version, the protocols that are on, and code that connects to them. Default `local`.
    pub show: PageVisitors,
}

/// The browsers that see the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PageVisitors {
    /// Browsers on the server's own machine.
    Local,
    /// Every browser.
    Everyone,
    /// No browser.
    Off,
}

impl Default for Page {
    fn default() -> Self {
        Page { show: PageVisitors::Local }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn the_visitors_of_the_page_are_one_of_three_words() {
        for (word, visitors) in
            [("local", PageVisitors::Local), ("everyone", PageVisitors::Everyone), ("off", PageVisitors::Off)]
        {
            let config = Config::load(None, &[format!("page.show={word}")]).expect(word);
            assert_eq!(config.page.show, visitors);
        }
        let error = Config::load(None, &["page.show=public".into()]).unwrap_err().to_string();
        assert!(
            error.starts_with("page.show is `public` (--set page.show); expected one of `local`"),
            "{error}"
        );
        assert_eq!(Config::default().page.show, PageVisitors::Local);
    }
}
