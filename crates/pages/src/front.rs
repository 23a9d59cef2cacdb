//! Parts of the pages at `/`: templates, whose `{{names}}` the server replaces, and their files.

/// The page of `serve`.
pub const SERVE: &str = include_str!("../front/serve.html");

/// Sections of the page of `serve`.
pub const ROOMS: &str = include_str!("../front/rooms.html");
/// The section on shards.
pub const SHARDS: &str = include_str!("../front/shards.html");
/// The section on users.
pub const USERS: &str = include_str!("../front/users.html");
/// How a token is made, and a message sent.
pub const USER_COMMANDS: &str = include_str!("../front/user-commands.html");

/// The files of the pages by their paths, with their `Content-Type`.
pub const FILES: &[(&str, &str, &str)] = &[
    ("/page/style.css", "text/css; charset=utf-8", include_str!("../front/style.css")),
    ("/page/copy.js", "text/javascript; charset=utf-8", include_str!("../front/copy.js")),
    ("/page/icon.svg", "image/svg+xml", include_str!("../demo/favicon.svg")),
];
