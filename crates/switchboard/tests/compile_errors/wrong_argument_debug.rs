use std::rc::Rc;

use switchboard::{App, Data, Reply, Socket, State, debug_handler};

struct Step {
    x: i32,
}

#[debug_handler]
async fn double(socket: Socket, number: i32) -> Reply<i32> {
    Reply(2 * number)
}

#[debug_handler]
async fn step(Data(step): Data<Step>) -> Reply<i32> {
    Reply(step.x)
}

#[debug_handler]
async fn board(State(board): State<Rc<i32>>) -> Reply<i32> {
    Reply(*board)
}

#[debug_handler]
async fn guest(name: Option<String>) -> Reply<bool> {
    Reply(name.is_none())
}

fn main() {
    let _ = App::new().on("/double", double);
}
