//! Setters for an app that is being served, for example to read its settings again.

use std::sync::Arc;

use crate::api::app::App;
use crate::net::options::{AcceptOptions, CurrentOptions};
use crate::node::access::{self, rule::AccessRule};
use crate::node::limits::Limits;
use crate::node::verifier::{CurrentVerifier, Verifier};

impl App {
    /// Replaces the limits of this app and all its clones. Open connections get the new rates and numbers
    /// at once; [`Limits::message_bytes_max`] applies to new connections, and
    /// [`Limits::heartbeat_interval`] stays as it was when the app was first served.
    ///
    /// Every replaced value stays in memory, about 200 bytes each time that it differs.
    ///
    /// ```
    /// use switchboard::{App, Limits};
    ///
    /// let app = App::new();
    /// let served = app.clone();
    /// let mut limits = Limits::default();
    /// limits.messages_per_s = Some(50);
    /// app.set_limits(limits);
    /// assert_eq!(served.limits().messages_per_s, Some(50));
    /// ```
    pub fn set_limits(&self, limits: Limits) {
        self.node().set_limits(limits.effective());
    }

    /// Replaces the options of [`with_accept_options`](Self::with_accept_options), of this app and its
    /// clones. They apply to new handshakes.
    ///
    /// ```
    /// use switchboard::App;
    /// use switchboard::net::AcceptOptions;
    ///
    /// let app = App::new();
    /// let allowed_origins = Some(vec!["https://chat.example".parse()?]);
    /// app.set_accept_options(AcceptOptions { allowed_origins, ..AcceptOptions::default() });
    /// # Ok::<(), switchboard::net::OriginError>(())
    /// ```
    pub fn set_accept_options(&self, options: AcceptOptions) {
        let current = self.setup().extension::<CurrentOptions>();
        current.expect("App::new sets the options").set(options);
    }

    /// Replaces the rule of [`with_access_rule`](Self::with_access_rule), of this app and its clones. Clients leave
    /// rooms, tags and shards that they may no longer be in, unless they joined them before the app had a verifier or a
    /// rule.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::access::AccessRequest;
    ///
    /// let app = App::new();
    /// app.set_access_rule(Some(Arc::new(|_: &AccessRequest<'_>| false)));
    /// ```
    pub fn set_access_rule(&self, rule: Option<Arc<dyn AccessRule>>) {
        access::set_rule(self.node(), rule);
    }

    /// Replaces the verifier of [`with_verifier`](Self::with_verifier), of this app and its clones. With
    /// `None` every token is refused. Sockets that are logged in stay so until their tokens expire.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::access::Verifier;
    ///
    /// fn rotate(app: &App, verifier: impl Verifier) {
    ///     app.set_verifier(Some(Arc::new(verifier)));
    /// }
    /// ```
    pub fn set_verifier(&self, verifier: Option<Arc<dyn Verifier>>) {
        if verifier.is_some() {
            self.node().access.enable();
        }
        let current = self.setup().extension::<CurrentVerifier>();
        current.expect("App::new sets the verifier").set(verifier);
    }
}
