//! Admits a client to a shard: checks its right to join, and takes a seat.
//!
//! If the project's rule allows the shard, the token in the address is verified after CONNECTED. Otherwise it is verified
//! first, because its claim may allow the shard.

use std::net::IpAddr;

use switchboard_event::{Protocol, RatedOperation, Resource, Right, SocketId};
use switchboard_log::{limited, printable, printable_error};
use switchboard_ws::close::CloseCode;

use crate::api::app::App;
use crate::node::access::operation::Operation;
use crate::node::access::refuse_client;
use crate::node::access::rule::Subject;
use crate::node::identity::{TokenSender, record_refusal, verify_before_connect};
use crate::node::logged_client::LoggedClient;
use crate::node::rates::check_unconnected;
use crate::node::refusal_reason::RefusalReason;
use crate::node::resume::seat::MovedSeat;
use crate::node::verifier::{CurrentVerifier, IdentifyError, Identity};
use crate::protocols::admission::{AdmissionError, Login};
use crate::protocols::koji::connect_params::ConnectParams;
use crate::protocols::koji::seat::{Seat, move_seat, take_seat};

/// A client that requests a seat.
pub(super) struct SeatRequester<'a> {
    pub(super) app: &'a App,
    pub(super) params: &'a ConnectParams,
    pub(super) id: SocketId,
    pub(super) ip: Option<IpAddr>,
}

impl SeatRequester<'_> {
    /// Takes a seat if the rule or the claim of the token allows it.
    pub(super) async fn admit(&self, token: Option<String>) -> Result<(Seat, Login), AdmissionError> {
        self.check_rate()?;
        let (operation, wanted) = match &self.params.shard {
            Some(name) => (Operation::Seat, Resource::Shard(name)),
            None => (Operation::AutomaticSeat, Resource::AutomaticShard),
        };
        let login = match token {
            Some(token) if !self.may_join(None, wanted) => Login::Verified(self.verify(&token).await?),
            Some(token) => Login::Token(token),
            None => Login::None,
        };
        let identity = match &login {
            Login::Verified(identity) => Some(identity),
            _ => None,
        };
        self.check(identity, operation, wanted)?;
        let seat = self.take_seat().await?;
        // A client that named a full shard may be on an automatic one.
        if self.params.shard.as_ref().is_some_and(|named| *named != seat.shard) {
            self.check(identity, Operation::AutomaticSeat, Resource::Shard(&seat.shard))?;
        }
        Ok((seat, login))
    }

    /// Moves a seat of another node here, if the rule or the claim of the token still allows the shard.
    pub(super) async fn admit_moved(
        &self,
        identity: Option<&Identity>,
        moved: MovedSeat,
    ) -> Result<Seat, AdmissionError> {
        let is_automatic =
            moved.shard.strip_prefix("shard-").is_some_and(|number| number.parse::<u64>().is_ok());
        if !is_automatic || !self.may_join(identity, Resource::AutomaticShard) {
            self.check(identity, Operation::Seat, Resource::Shard(&moved.shard))?;
        }
        move_seat(self.app.node(), self.params, self.id, moved).await.map_err(AdmissionError::from)
    }

    /// Checks the rate rules for placements.
    fn check_rate(&self) -> Result<(), AdmissionError> {
        let (node, project) = (self.app.node(), &self.params.project);
        let checked = check_unconnected(node, project, self.ip, RatedOperation::Placement);
        checked.map_err(|exceeded| AdmissionError {
            reason: RefusalReason::RateLimited,
            code: CloseCode::TRY_AGAIN_LATER,
            message: format!("rate_limited: {}", exceeded.error),
        })
    }

    fn logged(&self) -> LoggedClient<'_> {
        LoggedClient::Connecting(Some(self.id), self.ip)
    }

    fn may_join(&self, identity: Option<&Identity>, resource: Resource<'_>) -> bool {
        let subject = Subject {
            project: &self.params.project,
            session: None,
            user: identity.map(|identity| &identity.user),
            claim: identity.and_then(|identity| identity.rights.as_deref()),
        };
        self.app.node().access.allows(subject, Right::Join, resource)
    }

    fn check(
        &self,
        identity: Option<&Identity>,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<(), AdmissionError> {
        if self.may_join(identity, resource) {
            return Ok(());
        }
        let forbidden = refuse_client(self.logged(), &self.params.project, operation, resource);
        Err(forbidden_error(format!("forbidden: {forbidden}")))
    }

    async fn verify(&self, token: &str) -> Result<Identity, AdmissionError> {
        let node = self.app.node();
        let verifier = self.app.setup().extension::<CurrentVerifier>().and_then(CurrentVerifier::get);
        let verified = verify_before_connect(node, &self.params.project, self.ip, verifier, token).await;
        verified.map_err(|error: IdentifyError| {
            let project = &self.params.project;
            let sender = TokenSender { client: self.logged(), protocol: Protocol::Koji, project };
            record_refusal(node, sender, &error);
            forbidden_error(format!("the token is refused: {}", error.reason()))
        })
    }

    async fn take_seat(&self) -> Result<Seat, AdmissionError> {
        take_seat(self.app.node(), self.params, self.id).await.map_err(|error| {
            limited!(
                WARN,
                project = printable(&self.params.project),
                error = printable_error(&error),
                "no seat on the shard; client closed with 1013"
            );
            AdmissionError::from(error)
        })
    }
}

fn forbidden_error(message: String) -> AdmissionError {
    AdmissionError { reason: RefusalReason::Forbidden, code: CloseCode::POLICY, message }
}
