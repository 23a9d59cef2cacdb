use switchboard::{Data, Reply, Socket, debug_handler};

#[debug_handler]
async fn generic<T>(Data(value): Data<T>) -> Reply<T> {
    Reply(value)
}

#[debug_handler]
async fn borrowed(socket: &Socket) {
    println!("{}", socket.id());
}

#[debug_handler]
async fn nine(_: Socket, _: Socket, _: Socket, _: Socket, _: Socket, _: Socket, _: Socket, _: Socket, _: Socket) {}

#[debug_handler(state = Board)]
async fn with_arguments() {}

#[debug_handler]
struct NotAFunction;

fn main() {}
