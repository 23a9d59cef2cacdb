use switchboard::{App, SocketId};

async fn connected(id: SocketId) {
    println!("{id} connected");
}

fn main() {
    let _ = App::new().on("@connection", connected);
}
