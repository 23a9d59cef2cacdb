//! Mistakes in a router or an app: they panic before it serves, at the line of the application.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use switchboard::{App, Koji, Router, State};

use crate::echo;

#[tokio::test]
async fn an_invalid_app_panics_before_it_serves() {
    let app = App::new().on("/a", async |_: State<u64>| ());
    let added_at = format!("{}:{}", file!(), line!() - 1);
    let (missing, _) = panic_of(|| drop(app.into_service()));
    assert!(missing.contains("the handler of `/a`, added at "), "{missing}");
    assert!(missing.contains(&added_at) && missing.contains("takes State<u64>"), "{missing}");
}

/// The message and the place of a panic.
pub(crate) fn panic_of(call: impl FnOnce()) -> (String, String) {
    thread_local!(static PLACE: RefCell<String> = const { RefCell::new(String::new()) });
    let earlier = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| {
        PLACE.set(
            info.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default(),
        );
    }));
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("the call panics");
    std::panic::set_hook(earlier);
    let text = panic.downcast_ref::<String>().cloned();
    (text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap_or(&"").to_string()), PLACE.take())
}

#[test]
fn a_mistake_in_a_router_panics_at_the_line_of_the_application() {
    macro_rules! mistake {
        ($call:expr, $message:literal) => {
            let (message, place) = panic_of(|| drop($call));
            assert!(message.contains($message), "{message}");
            assert_eq!(place, format!("{}:{}", file!(), line!()), "{message}");
        };
    }
    let long = "é".repeat(129);
    let one = || Router::new().on("/a", echo);
    mistake!(App::new().on("", echo), "the name of an event is empty");
    mistake!(Router::new().on("", echo), "the name of an event is empty");
    mistake!(Koji::new().on("", echo), "the name of an event is empty");
    mistake!(App::new().ns("/chat", |chat| chat.on("", echo)), "the name of an event is empty");
    mistake!(App::new().on(&long, echo), "has 258 bytes");
    mistake!(App::new().nest(&"x".repeat(255), one()), "has 257 bytes");
    mistake!(App::new().on("@conection", echo), "`@conection` is not a system event");
    mistake!(Koji::new().on("@conection", echo), "`@conection` is not a system event");
    mistake!(App::new().nest("@game", one()), "names that begin with `@` are for system events");
    mistake!(App::new().on("/a", echo).on("/a", echo), "`/a` has two handlers");
    mistake!(App::new().merge(one()).merge(one()), "`/a` has two handlers");
    mistake!(App::new().ns("/b", |b| b.on("/a", echo)).on("/b/a", echo), "`/b/a` has two handlers");
    mistake!(App::new().with_state(1_u8).with_state(2_u8), "two states of type u8");
}

#[test]
fn the_panic_about_a_second_handler_names_the_place_of_the_first() {
    let app = App::new().on("/a", echo);
    let first = format!("{}:{}", file!(), line!() - 1);
    let (message, _) = panic_of(|| drop(app.merge(Router::new().on("/a", echo))));
    assert!(message.contains(&first), "{message}");
}
