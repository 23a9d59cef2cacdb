//! The page of the demo at `/`: its pages as live miniatures with code to copy, and a QR code for phones.

use std::borrow::Cow;

use switchboard_pages::{EXAMPLES_MISSING, find, front, snippets};

use super::address::Address;
use super::html::{Html, fill};
use super::qr;

/// A page of the demo.
struct Card {
    page: &'static str,
    title: &'static str,
    text: &'static str,
    needs_koji: bool,
    /// The code: a snippet, or the source of an example by its path.
    code: Code,
}

enum Code {
    /// A chat in one file.
    Rooms,
    /// Pointers in one file.
    Shard,
    Source(&'static str),
}

const CARDS: &[Card] = &[
    Card {
        page: "/chat/",
        title: "Chat, with its frames",
        text: "Open it in two tabs. The panel on the right shows each frame that goes over the wire.",
        needs_koji: false,
        code: Code::Rooms,
    },
    Card {
        page: "/canvas/",
        title: "A canvas for four",
        text: "Cursors, ink and notes on a shared sheet. The server seats four visitors on each.",
        needs_koji: true,
        code: Code::Shard,
    },
    Card {
        page: "/examples/chat/",
        title: "Chat with the SDK",
        text: "Rooms, member lists and typing indicators, with typed events.",
        needs_koji: false,
        code: Code::Source("examples/chat/main.ts.txt"),
    },
    Card {
        page: "/examples/multiplayer/",
        title: "Catch the star",
        text: "A game for up to eight players on a shard, without server code.",
        needs_koji: true,
        code: Code::Source("examples/multiplayer/main.ts.txt"),
    },
    Card {
        page: "/examples/match/#miniature",
        title: "One on one",
        text: "The server pairs two players at a table; a third waits at the next one.",
        needs_koji: true,
        code: Code::Source("examples/match/main.ts.txt"),
    },
    Card {
        page: "/examples/presence/",
        title: "Presence",
        text: "Avatars of everyone online and direct messages, with React hooks.",
        needs_koji: false,
        code: Code::Source("examples/presence/main.tsx.txt"),
    },
    Card {
        page: "/examples/notify/",
        title: "Notifications",
        text: "A Node backend sends to users, also to those who were offline.",
        needs_koji: false,
        code: Code::Source("examples/notify/main.ts.txt"),
    },
];

/// Renders the page. `phones` is the address under which other devices reach the demo, if they do.
pub(super) fn page(address: &Address, phones: Option<&Address>, has_koji: bool, port: u16) -> String {
    let missing = EXAMPLES_MISSING
        .map_or_else(Html::default, |reason| fill(front::DEMO_MISSING, &[("reason", Html::text(reason))]));
    let cards = CARDS.iter().filter(|card| has_koji || !card.needs_koji);
    let values = [
        ("version", Html::text(env!("CARGO_PKG_VERSION"))),
        ("cards", cards.filter_map(|card| card.html(address)).collect()),
        ("missing", missing),
        ("phone", phone(phones, port)),
    ];
    fill(front::DEMO, &values).into_string()
}

impl Card {
    /// `None` if the page is not in this build.
    fn html(&self, address: &Address) -> Option<Html> {
        let (file, code) = self.code.text(address)?;
        let values = [
            ("page", Html::text(self.page)),
            ("title", Html::text(self.title)),
            ("text", Html::text(self.text)),
            ("file", Html::text(file)),
            ("code", Html::text(code)),
        ];
        Some(fill(front::DEMO_CARD, &values))
    }
}

impl Code {
    /// The name of the file, and its text.
    fn text(&self, address: &Address) -> Option<(&str, Cow<'static, str>)> {
        let own = address.websocket("/");
        match self {
            // The demo sends a message to its sender, too.
            Code::Rooms => {
                let code = snippets::ROOMS.replace(snippets::ROOMS_OWN_LINE, "");
                Some(("rooms.html", code.replace(snippets::ADDRESS, &own).into()))
            }
            Code::Shard => Some(("pointers.html", snippets::SHARD.replace(snippets::ADDRESS, &own).into())),
            Code::Source(path) => {
                let code = find(path)?;
                let file = path.trim_start_matches("examples/").trim_end_matches(".txt");
                Some((file, String::from_utf8_lossy(&code).into_owned().into()))
            }
        }
    }
}

fn phone(address: Option<&Address>, port: u16) -> Html {
    match address {
        Some(address) => {
            let address = address.page();
            let values = [("code", qr::code(&address)), ("address", Html::text(address))];
            fill(front::DEMO_PHONE, &values)
        }
        None => fill(front::DEMO_NO_PHONE, &[("port", Html::text(port.to_string()))]),
    }
}
