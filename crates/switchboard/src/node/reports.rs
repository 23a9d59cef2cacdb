//! Reporting to other processes what clients do, and handing them what nothing here handles.

use std::sync::Arc;

use serde_json::json;
use switchboard_backplane::{
    ClientAction, ClientMessage, ReplyAddress, Report, ReportSink, ReportSinkChange,
};
use switchboard_event::Protocol;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::clock::now_ms;
use crate::routing::hooks::SystemEvent;
use crate::routing::reply::{IntoResponse, ReplyError, Response};
use crate::routing::request::Request;
use crate::routing::router::unknown_event;
use crate::routing::server::Served;

/// A report that is about to be made.
pub(crate) struct Reporting {
    portal: Arc<dyn ReportSink>,
    report: Report,
}

impl Reporting {
    /// None if nobody is to know of the clients of that door.
    pub(crate) fn of(socket: &Socket, action: ClientAction) -> Option<Self> {
        let protocol = socket.session().protocol;
        let portal = socket.app().portal_for(protocol)?.clone();
        let (project, user) = (socket.app().project_id().clone(), socket.user());
        let report = Report { project, socket: socket.id(), protocol, user, time_ms: now_ms(), action };
        Some(Reporting { portal, report })
    }

    pub(crate) fn make(self) {
        self.portal.report(self.report);
    }
}

/// Reports what a client did, if anybody is to know.
pub(crate) fn report(socket: &Socket, action: ClientAction) {
    if let Some(reporting) = Reporting::of(socket, action) {
        reporting.make();
    }
}

/// What becomes of an event of an emit client that no handler wants. It has been reported when this
/// is polled for the first time, so that the order holds.
pub(crate) async fn hand_over(request: Request) -> Response {
    let socket = request.socket();
    let taken = socket
        .app()
        .portal_for(Protocol::Emit)
        .is_some_and(|portal| portal.accepts(socket.app().project_id(), request.wants_reply()));
    if !taken {
        return unknown_event(request).await;
    }
    if !request.wants_reply() {
        report(socket, said(&request, None));
        return Response::none();
    }
    let (reply_to, answer) = match socket.app().call_outside() {
        Ok(call) => call,
        Err(too_many) => return ReplyError::new("busy", too_many.to_string()).into_response(),
    };
    report(socket, said(&request, Some(reply_to)));
    match answer.await {
        Some(data) => data.into_response(),
        None => ReplyError::new("timeout", "nobody answered in time").into_response(),
    }
}

/// What becomes of a message of a Mesa client that no handler wants.
pub(crate) async fn pass_out(request: Request) {
    report(request.socket(), said(&request, None));
}

fn said(request: &Request, reply_to: Option<ReplyAddress>) -> ClientAction {
    let (op, kind) = request.said();
    ClientAction::Message(ClientMessage { op, kind, data: request.payload().clone(), reply_to })
}

impl App {
    /// Sets who brings to other processes what clients do: that they come, show who they are and go, and
    /// every event of emit and Mesa clients that nothing here handles. Default: nobody.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::{App, ReportSink};
    ///
    /// fn app(portal: Arc<dyn ReportSink>) -> App {
    ///     App::new().with_portal(portal)
    /// }
    /// ```
    pub fn with_portal(self, portal: Arc<dyn ReportSink>) -> Self {
        self.settings(|settings| settings.portal = Some(portal));
        self
    }

    /// Sets whose clients are reported to the [portal](Self::with_portal). Default: those of all doors.
    ///
    /// ```
    /// use switchboard::{App, Protocol};
    ///
    /// let app = App::new().with_reports_of(&[Protocol::Mesa]);
    /// ```
    pub fn with_reports_of(self, doors: &[Protocol]) -> Self {
        self.settings(|settings| settings.reported = Some(doors.into()));
        self
    }

    /// Who gets reports of clients, if anybody does.
    ///
    /// ```
    /// assert!(switchboard::App::new().portal().is_none());
    /// ```
    pub fn portal(&self) -> Option<&Arc<dyn ReportSink>> {
        self.portal_and_doors().map(|(portal, _)| portal)
    }

    /// Who gets reports, and by protocol of whose clients.
    fn portal_and_doors(&self) -> Option<&(Arc<dyn ReportSink>, [bool; Protocol::COUNT])> {
        self.running().portal.as_ref()
    }

    /// Who gets reports of the clients of a door.
    fn portal_for(&self, protocol: Protocol) -> Option<&Arc<dyn ReportSink>> {
        let (portal, reported) = self.portal_and_doors()?;
        reported[protocol.index()].then_some(portal)
    }
}

impl Served {
    /// Has the hooks hear of portals, and answers of portals be heard.
    pub(crate) fn start_portal(self: &Arc<Self>) {
        let Some((portal, _)) = self.app.portal_and_doors() else { return };
        let served = Arc::downgrade(self);
        portal.start(Box::new(move |change| {
            if let Some(served) = served.upgrade() {
                served.portal_changed(&change);
            }
        }));
        let app = self.app.clone();
        self.app.core().tasks.spawn_service(async move { app.hear_answers().await });
    }

    fn portal_changed(&self, change: &ReportSinkChange) {
        let ReportSinkChange { project, worker, group, joined } = change;
        let data = json!({ "portal": worker, "group": group, "project": project });
        let event = if *joined { SystemEvent::PortalJoin } else { SystemEvent::PortalLeave };
        self.tell(event, project, &data);
    }
}
