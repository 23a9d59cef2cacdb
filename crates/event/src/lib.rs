//! Plain data that all Switchboard crates share: ids, names, events, audiences, rights, rate rules, positions.
//!
//! There is no I/O, no clock and no protocol knowledge, so the crates built on it compile for any target,
//! `wasm32` included.

mod binary;
mod event;
mod id;
pub mod json;
mod name;
mod number;
mod overflow;
mod parcel;
mod payload;
mod position;
mod rates;
mod rights;
mod target;
mod time;
mod trace_id;

pub use binary::EventDecodeError;
pub use event::{Event, Protocol};
pub use id::{NodeId, SocketId};
pub use name::{NAME_BYTES_MAX, Name, NameError, ProjectId, RoomName, ShardName, TagName, TokenId, UserId};
pub use number::MessageNumber;
pub use overflow::{LatestKey, OverflowPolicy};
pub use parcel::Parcel;
pub use payload::{Buffer, Payload, PayloadError};
pub use position::{Epoch, EpochError, Position};
pub use rates::{
    Cell, Limited, RATE_RULES_MAX, Rate, RateAction, RateError, RateKey, RateMatcher, RateRule,
    RateRuleError, RatedOperation, RuleSet,
};
pub use rights::{
    AUTOMATIC_SHARD_PREFIX, PATTERN_BYTES_MAX, PATTERNS_MAX, Resource, Right, Rights, RightsError,
};
pub use target::{Audience, AudienceError, IntoAudience, Target};
pub use time::unix_ms;
pub use trace_id::{TraceId, TraceIdError};
