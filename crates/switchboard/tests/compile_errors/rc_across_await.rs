use std::rc::Rc;

use switchboard::{App, Reply, debug_handler};

#[debug_handler]
async fn count() -> Reply<i32> {
    let count = Rc::new(1);
    std::future::ready(()).await;
    Reply(*count)
}

fn main() {
    let _ = App::new().on("/count", count);
}
