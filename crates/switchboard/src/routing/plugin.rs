//! Plugins: reusable parts of an app that are added with one call.

use crate::api::app::App;

/// A reusable part of an app: it adds handlers, middleware, hooks or state.
///
/// A system event can have many hooks, so a plugin never replaces those of the app or of other plugins.
/// Every `FnOnce(App) -> App` is a plugin, and so are a tuple of two or three plugins and a `Vec` of
/// plugins.
///
/// ```
/// use switchboard::{App, Next, Plugin, Request};
///
/// struct Audit;
///
/// impl Plugin for Audit {
///     fn install(self, app: App) -> App {
///         app.on("@connection", |request: Request| async move { println!("{} connected", request.id()) })
///             .middleware(|request: Request, next: Next| async move { next.run(request).await })
///     }
/// }
///
/// let app = App::new().plugin(Audit).plugin((Audit, |app: App| app.on("/ping", || async {})));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin",
    label = "not a plugin",
    note = "a plugin is a function `fn(App) -> App`, a type that implements `Plugin`, a tuple of two or three plugins, or a `Vec` of plugins"
)]
pub trait Plugin {
    /// Adds the plugin's parts to the app and returns the app.
    ///
    /// ```
    /// # use switchboard::{App, Plugin, Router};
    /// # async fn join() {}
    /// struct Lobby {
    ///     prefix: &'static str,
    /// }
    /// impl Plugin for Lobby {
    ///     fn install(self, app: App) -> App {
    ///         app.nest(self.prefix, Router::new().on("/join", join))
    ///     }
    /// }
    /// let app = App::new().plugin(Lobby { prefix: "/lobby" });
    /// ```
    fn install(self, app: App) -> App;
}

#[diagnostic::do_not_recommend]
impl<F: FnOnce(App) -> App> Plugin for F {
    fn install(self, app: App) -> App {
        self(app)
    }
}

/// A boxed plugin, for lists of different plugins.
///
/// ```
/// use switchboard::{App, BoxPlugin, Reply};
///
/// # let debug = true;
/// let mut plugins: Vec<BoxPlugin> = vec![Box::new(|app: App| app.on("/ping", async || Reply("pong")))];
/// if debug {
///     plugins.push(Box::new(|app: App| app.on("/debug", async || Reply("on"))));
/// }
/// let app = App::new().plugin(plugins);
/// ```
pub type BoxPlugin = Box<dyn FnOnce(App) -> App>;

impl<P: Plugin> Plugin for Vec<P> {
    fn install(self, app: App) -> App {
        self.into_iter().fold(app, |app, plugin| plugin.install(app))
    }
}

impl<A: Plugin, B: Plugin> Plugin for (A, B) {
    fn install(self, app: App) -> App {
        self.1.install(self.0.install(app))
    }
}

impl<A: Plugin, B: Plugin, C: Plugin> Plugin for (A, B, C) {
    fn install(self, app: App) -> App {
        (self.1, self.2).install(self.0.install(app))
    }
}
