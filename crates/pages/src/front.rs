//! Parts of the pages at `/`: templates, whose `{{names}}` the server replaces, and their files.

/// The page of `serve`.
pub const SERVE: &str = include_str!("../front/serve.html");

/// The section of the page of `serve` on rooms.
pub const ROOMS: &str = include_str!("../front/rooms.html");
/// The section on shards.
pub const SHARDS: &str = include_str!("../front/shards.html");
/// The section on users.
pub const USERS: &str = include_str!("../front/users.html");
/// The commands in the section on users, which make a token and send a message.
pub const USER_COMMANDS: &str = include_str!("../front/user-commands.html");

/// The page of the demo.
pub const DEMO: &str = include_str!("../front/demo.html");
/// One page of the demo, with its miniature and its code.
pub const DEMO_CARD: &str = include_str!("../front/demo-card.html");
/// Why pages of the demo are missing.
pub const DEMO_MISSING: &str = include_str!("../front/demo-missing.html");
/// The address that phones open, if the demo accepts them.
pub const DEMO_PHONE: &str = include_str!("../front/demo-phone.html");
/// The command that makes the demo accept phones, if it does not.
pub const DEMO_NO_PHONE: &str = include_str!("../front/demo-no-phone.html");

/// The notice that a client needs a token.
pub const TOKEN: &str = include_str!("../front/token.html");
/// The same notice, with the command that makes a token.
pub const TOKEN_COMMAND: &str = include_str!("../front/token-command.html");

/// The files of the pages by their paths, with their `Content-Type`.
pub const FILES: &[(&str, &str, &str)] = &[
    ("/page/style.css", "text/css; charset=utf-8", include_str!("../front/style.css")),
    ("/page/copy.js", "text/javascript; charset=utf-8", include_str!("../front/copy.js")),
    ("/page/demo.css", "text/css; charset=utf-8", include_str!("../front/demo.css")),
    ("/page/miniatures.js", "text/javascript; charset=utf-8", include_str!("../front/miniatures.js")),
    ("/page/icon.svg", "image/svg+xml", include_str!("../demo/favicon.svg")),
];
