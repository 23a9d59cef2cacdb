//! Plugins: parts of an app that are written apart and added in one line.

use crate::api::app::App;

/// Adds handlers, middleware, hooks or state to an app.
///
/// Hooks of system events add up, so a plugin never displaces the user's or another's. Every
/// `FnOnce(App) -> App` is a plugin, and so is a tuple of two or three plugins, or a `Vec` of them.
///
/// ```
/// use switchboard::{App, Next, Plugin, Request};
///
/// struct Audit;
///
/// impl Plugin for Audit {
///     fn install(self, app: App) -> App {
///         app.on("@connection", |request: Request| async move { println!("{} came", request.id()) })
///             .middleware(|request: Request, next: Next| async move { next.run(request).await })
///     }
/// }
///
/// let app = App::new().plugin(Audit).plugin((Audit, |app: App| app.on("/ping", || async {})));
/// ```
pub trait Plugin {
    /// Adds itself.
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

impl<F: FnOnce(App) -> App> Plugin for F {
    fn install(self, app: App) -> App {
        self(app)
    }
}

/// A plugin whose type is forgotten, for lists of different ones.
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
