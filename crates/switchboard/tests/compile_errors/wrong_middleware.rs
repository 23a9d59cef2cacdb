use switchboard::{App, Next, Request, Response};

async fn log(next: Next, request: Request) -> Response {
    next.run(request).await
}

fn main() {
    let _ = App::new().middleware(log);
}
