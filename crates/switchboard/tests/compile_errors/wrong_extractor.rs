use switchboard::{AsyncFromRequest, FromRequest, ReplyError, Request};

struct Username(String);

impl FromRequest for Username {
    async fn from_request(request: &Request) -> Result<Self, ReplyError> {
        request.get("username").map(Username).ok_or_else(ReplyError::unauthorized)
    }
}

struct Score(u32);

impl AsyncFromRequest for Score {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        request.get("score").map(Score).ok_or_else(ReplyError::unauthorized)
    }
}

fn main() {}
