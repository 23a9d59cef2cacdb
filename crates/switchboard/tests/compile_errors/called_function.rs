use switchboard::{App, Reply};

async fn ping() -> Reply<&'static str> {
    Reply("pong")
}

fn main() {
    let _ = App::new().on("/ping", ping());
}
