#![deny(unused_must_use)]

use switchboard::{App, Socket};

async fn ask(app: &App, socket: &Socket) {
    app.to("#lobby");
    socket.request::<bool>("/ready?", &());
}

fn main() {}
