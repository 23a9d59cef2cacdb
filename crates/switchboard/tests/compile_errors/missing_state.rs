use switchboard::{App, Reply, State};

struct Board {
    side: i32,
}

async fn side(State(board): State<Board>) -> Reply<i32> {
    Reply(board.side)
}

fn main() {
    let _ = App::new().with_state(Board { side: 8 }).on("/side", side);
}
