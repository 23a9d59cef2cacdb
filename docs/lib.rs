//! Tests of the documentation.
//!
//! The Rust blocks of the README and the guides are doctests of this crate: `cargo test --doc -p switchboard-docs`.
//! `tests/shell.rs` runs the shell blocks that are marked `sh run`, `tests/links.rs` checks links and forms.

macro_rules! documents {
    ($($name:ident: $path:literal),* $(,)?) => {$(
        #[cfg(doctest)]
        #[doc = include_str!($path)]
        #[expect(missing_docs, reason = "the file is the documentation")]
        pub struct $name;
    )*};
}

// A guide with a Rust block that is missing here fails `tests/links.rs`.
documents! {
    Readme: "../README.md",
    Authentication: "guides/authentication.md",
    Backends: "guides/backends.md",
    Draining: "guides/draining.md",
    EmbeddingInAxum: "guides/embedding-in-axum.md",
    Explain: "guides/explain.md",
    Handlers: "guides/handlers.md",
    History: "guides/history.md",
    LogsAndMetrics: "guides/logs-and-metrics.md",
    Middleware: "guides/middleware.md",
    MovingFromEmitGg: "guides/moving-from-emit-gg.md",
    MovingFromMesa: "guides/moving-from-mesa.md",
    OfflineMessages: "guides/offline-messages.md",
    Plugins: "guides/plugins.md",
    Resuming: "guides/resuming.md",
    RoomsAndTags: "guides/rooms-and-tags.md",
    RustClient: "guides/rust-client.md",
    Scaling: "guides/scaling.md",
    Shards: "guides/shards.md",
    Testing: "guides/testing.md",
    Workers: "guides/workers.md",
}
