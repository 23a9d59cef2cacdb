//! Who a socket's user is: tokens, what they bind, and when that ends.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use serde_json::json;
use switchboard_backplane::ClientAction;
use switchboard_event::{Payload, SocketId, Target, UserId};
use switchboard_hub::{JoinError, Session};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::clock::{now, now_ms, since_1970};
use crate::node::inbox::{self, Arrival, Redelivery};
use crate::node::reports;
use crate::routing::hooks::SystemEvent;
use crate::routing::server::panic_message;

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// When the token ends, and with it what it binds. `None` means never.
    pub expires: Option<SystemTime>,
    /// What a Mesa client is shown of its user, an object; default `{"id":…}` with the id as text.
    pub profile: Option<Payload>,
}

/// Why a token binds nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// Nothing was shown that could be a token.
    #[error("no token was shown")]
    NoToken,
    /// The app was given no [`Verifier`].
    #[error("no token is accepted here: the app has no verifier")]
    NoVerifier,
    /// The verifier refused it.
    #[error("the token was refused")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Too many tokens of this address were refused; this one was not looked at.
    #[error("too many tokens of this address were refused")]
    TooMany,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// The socket cannot have one more membership, or has closed.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// What a verifier says of a token.
pub type Verdict<'a> = Pin<Box<dyn Future<Output = Result<Identity, IdentifyError>> + Send + 'a>>;

/// Decides whom a token names. Every `async fn(String) -> Result<Identity, E>` is one.
///
/// ```
/// use switchboard::{App, Identity, Name};
///
/// // Trusts anybody: for examples only.
/// let app = App::new().with_verifier(async |token: String| {
///     Name::new(&token).map(|user| Identity { user, expires: None, profile: None })
/// });
/// ```
pub trait Verifier: Send + Sync + 'static {
    /// Looks at one token. May wait, such as for keys that have to be fetched. One that panics has refused it.
    fn verify<'a>(&'a self, token: &'a str) -> Verdict<'a>;
}

impl<F, Fut, E> Verifier for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn verify<'a>(&'a self, token: &'a str) -> Verdict<'a> {
        let verdict = self(token.to_owned());
        Box::pin(async { verdict.await.map_err(|error| IdentifyError::Refused(error.into())) })
    }
}

impl Socket {
    /// Has the app's verifier look at a token, and makes the socket one of the user's it names, in
    /// place of whose it was by a token before. When the token expires the socket belongs to nobody
    /// again; it stays connected. A refused token changes nothing.
    pub async fn identify(&self, token: &str) -> Result<UserId, IdentifyError> {
        let (identity, redelivery) = self.identify_whole(Some(token)).await?;
        self.tell_authenticated(&identity.user);
        if let Some(redelivery) = redelivery {
            redelivery.go_on();
        }
        Ok(identity.user)
    }

    /// Calls the `@authenticated` hooks.
    pub(crate) fn tell_authenticated(&self, user: &UserId) {
        self.tell(SystemEvent::Authenticated, &json!({ "user": user }));
    }

    /// The same as [`identify`](Self::identify), with all that the verifier said; what has waited for the
    /// user is told through the redelivery, if messages ever wait. No token at all is refused as a bad one is.
    pub(crate) async fn identify_whole(
        &self,
        token: Option<&str>,
    ) -> Result<(Identity, Option<Redelivery>), IdentifyError> {
        let verifier = self.app().setup().verifier.clone().ok_or(IdentifyError::NoVerifier)?;
        let (refusals, limits, ip) = (&self.app().core().refusals, self.app().limits(), self.info().ip());
        if !refusals.may_try(ip, limits, now()) {
            self.app().meters().token("not looked at");
            return Err(IdentifyError::TooMany);
        }
        let verdict = match token {
            Some(token) => verify(&*verifier, token).await,
            None => Err(IdentifyError::NoToken),
        };
        let verdict = verdict.and_then(|identity| self.be_bound(identity));
        if verdict.is_err() {
            refusals.count(ip, limits, now());
        }
        let outcome = if verdict.is_ok() { "accepted" } else { "refused" };
        self.app().meters().token(outcome);
        verdict
    }

    fn be_bound(&self, identity: Identity) -> Result<(Identity, Option<Redelivery>), IdentifyError> {
        let arrival = Arrival::begin(self);
        self.app().core().identities.bind(self.app(), self.session(), &identity)?;
        reports::report(self, ClientAction::Authenticated);
        let redelivery = arrival.map(|arrival| arrival.of(identity.user.clone()));
        Ok((identity, redelivery))
    }
}

/// A verifier that panics has accepted nothing, and whoever waits for it must not wait for ever.
async fn verify(verifier: &dyn Verifier, token: &str) -> Result<Identity, IdentifyError> {
    let verdict = AssertUnwindSafe(async { verifier.verify(token).await }).catch_unwind().await;
    verdict.unwrap_or_else(|panic| {
        tracing::error!(panic = panic_message(&*panic), "a verifier panicked");
        Err(IdentifyError::Refused("the verifier panicked".into()))
    })
}

/// What tokens have bound, and when that ends.
#[derive(Default)]
pub(crate) struct Identities {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bound: HashMap<SocketId, Binding>,
    /// Who may end in which second. An entry may be out of date: the binding itself decides.
    ends: BTreeMap<u64, Vec<SocketId>>,
}

struct Binding {
    user: UserId,
    ends_ms: Option<u64>,
}

/// How often bindings are looked at.
const EVERY: Duration = Duration::from_secs(1);

impl Identities {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the identities panics")
    }

    /// Binds a socket, in place of what bound it before.
    fn bind(&self, app: &App, session: &Arc<Session>, identity: &Identity) -> Result<(), IdentifyError> {
        let ends_ms = identity.expires.map(since_1970);
        if ends_ms.is_some_and(|end| end <= now_ms()) {
            return Err(IdentifyError::Expired);
        }
        // Held over the join, so that `forget` comes either before it and the join fails, or after.
        let mut state = self.lock();
        let before = state.bound.get(&session.id).map(|binding| binding.user.clone());
        let user = identity.user.clone();
        app.hub().join(session, &Target::User(user.clone()))?;
        if let Some(before) = before.filter(|before| *before != user) {
            inbox::leave(app, session, &before);
        }
        if let Some(end) = ends_ms {
            state.ends.entry(end / 1000).or_default().push(session.id);
        }
        state.bound.insert(session.id, Binding { user, ends_ms });
        Ok(())
    }

    /// A socket has closed.
    pub(crate) fn forget(&self, id: SocketId) {
        self.lock().bound.remove(&id);
    }

    /// Ends bindings when their tokens do.
    pub(crate) async fn run(app: App) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            app.core().identities.end_those_over(&app, now_ms());
        }
    }

    fn end_those_over(&self, app: &App, now_ms: u64) {
        let mut state = self.lock();
        let later = state.ends.split_off(&(now_ms / 1000));
        for id in std::mem::replace(&mut state.ends, later).into_values().flatten() {
            let is_over = |binding: &Binding| binding.ends_ms.is_some_and(|end| end <= now_ms);
            if state.bound.get(&id).is_some_and(is_over)
                && let Some(Binding { user, .. }) = state.bound.remove(&id)
                && let Some(session) = app.hub().index().session(id)
            {
                inbox::leave(app, &session, &user);
            }
        }
    }
}
