use switchboard::{App, Reply};

struct Score {
    points: u32,
}

async fn score() -> Reply<Score> {
    Reply(Score { points: 12 })
}

fn main() {
    let _ = App::new().on("/score", score);
}
