use switchboard::{App, Reply};

async fn double(number: i32) -> Reply<i32> {
    Reply(2 * number)
}

fn main() {
    let _ = App::new().on("/double", double);
}
