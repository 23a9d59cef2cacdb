use switchboard::{Data, Reply, ReplyError, debug_handler};

struct Score {
    points: u32,
}

enum Refusal {
    GameFull,
}

#[debug_handler]
async fn score() -> Reply<Score> {
    Reply(Score { points: 12 })
}

#[debug_handler]
async fn double(Data(number): Data<i32>) -> i32 {
    2 * number
}

#[debug_handler]
async fn half(Data(number): Data<i32>) -> Result<i32, ReplyError> {
    Ok(number / 2)
}

#[debug_handler]
async fn sit() -> Result<(), Refusal> {
    Err(Refusal::GameFull)
}

fn main() {}
