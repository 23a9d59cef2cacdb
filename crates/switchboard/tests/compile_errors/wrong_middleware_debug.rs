use switchboard::{Next, Request, Response, debug_middleware};

#[debug_middleware]
async fn order(next: Next, request: Request) -> Response {
    next.run(request).await
}

#[debug_middleware]
async fn lonely(request: Request) -> Response {
    Response::none()
}

#[debug_middleware]
async fn reply(request: Request, next: Next) -> bool {
    next.run(request).await.is_error()
}

#[debug_middleware]
fn sync(request: Request, next: Next) -> Response {
    Response::none()
}

fn main() {}
