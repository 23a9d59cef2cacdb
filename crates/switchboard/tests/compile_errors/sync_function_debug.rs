use switchboard::{App, Reply, debug_handler};

#[debug_handler]
fn ping() -> Reply<&'static str> {
    Reply("pong")
}

fn main() {
    let _ = App::new().on("/ping", ping);
}
