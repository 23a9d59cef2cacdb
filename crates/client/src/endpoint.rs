//! The server's address, and opening a connection to it.

use http::{HeaderName, HeaderValue, Uri, header};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Connector, Error, Limits, MaybeTlsStream, WebSocketStream, upgrade};

use crate::error::ConnectError;
use crate::meter::Metered;
use crate::options::Options;
use crate::tls;
use crate::token::TokenSource;

pub(crate) type Socket = WebSocketStream<Metered<MaybeTlsStream<TcpStream>>>;

/// An open connection.
pub(crate) struct Connected {
    pub(crate) socket: Socket,
    /// The token of its handshake.
    pub(crate) token: Option<String>,
    /// The server will answer the ticket.
    pub(crate) answers_ticket: bool,
}

pub(crate) struct Endpoint {
    uri: Uri,
    connector: Connector,
}

impl Endpoint {
    pub(crate) fn new(address: &str, options: &Options) -> Result<Self, ConnectError> {
        let invalid = || ConnectError::Address(address.into());
        let uri: Uri = address.parse().map_err(|_| invalid())?;
        let uri = with_notices(uri, options.resumes()).ok_or_else(invalid)?;
        let connector = match uri.scheme_str() {
            Some("ws") if uri.host().is_some() => Connector::Plain,
            Some("wss") if uri.host().is_some() => tls::connector(options)?,
            _ => return Err(invalid()),
        };
        Ok(Endpoint { uri, connector })
    }

    /// Opens a connection, with the ticket of the session to resume.
    pub(crate) async fn connect(
        &self,
        options: &Options,
        ticket: Option<&str>,
    ) -> Result<Connected, ConnectError> {
        let limits = Limits::default().max_payload_len(Some(options.message_bytes_max));
        let mut builder = ClientBuilder::from_uri(self.uri.clone()).limits(limits);
        for (name, value) in &options.headers {
            let invalid = || ConnectError::Header(name.clone());
            let header = (
                HeaderName::try_from(name).map_err(|_| invalid())?,
                HeaderValue::try_from(value).map_err(|_| invalid())?,
            );
            builder = builder.add_header(header.0, header.1).map_err(|_| invalid())?;
        }
        if let Some(ticket) = ticket {
            let protocols = HeaderValue::try_from(format!("switchboard, ticket.{ticket}"));
            if let Ok(mut protocols) = protocols {
                protocols.set_sensitive(true);
                let added = builder.add_header(header::SEC_WEBSOCKET_PROTOCOL, protocols);
                builder = added.expect("the library sets no subprotocol");
            }
        }
        let timeout = options.connect_timeout;
        let token = match &options.token {
            Some(source) => Some(tokio::time::timeout(timeout, next_token(source)).await),
            None => None,
        };
        let token = token.transpose().map_err(|_| ConnectError::Timeout(timeout))?.transpose()?;
        if let Some((_, header)) = &token {
            let added = builder.add_header(header::AUTHORIZATION, header.clone());
            builder = added.map_err(|error| ConnectError::Token(error.into()))?;
        }
        let connecting = async {
            let stream = Metered::new(self.open().await?, options.message_bytes_max);
            builder.connect_on(stream).await
        };
        let connected = tokio::time::timeout(timeout, connecting).await;
        let (socket, response) =
            connected.map_err(|_| ConnectError::Timeout(timeout))?.map_err(connect_error)?;
        let answers_ticket = response.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL);
        Ok(Connected { socket, token: token.map(|(token, _)| token), answers_ticket })
    }

    /// Opens a TCP connection to the host, with TLS for `wss`.
    async fn open(&self) -> Result<MaybeTlsStream<TcpStream>, Error> {
        // The brackets around an IPv6 address are part of the URI's host.
        let host = self.uri.host().expect("`new` has checked it").trim_matches(['[', ']']);
        let default_port = if self.uri.scheme_str() == Some("wss") { 443 } else { 80 };
        let stream = TcpStream::connect((host, self.uri.port_u16().unwrap_or(default_port))).await?;
        self.connector.wrap(host, stream).await
    }
}

/// The address with `sb=1`, by which the server knows that the client understands its own events, and with `resume=0` if the
/// client would not come back to its session.
fn with_notices(uri: Uri, resumes: bool) -> Option<Uri> {
    let mut parts = uri.into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
    let separator = if path.contains('?') { '&' } else { '?' };
    let resume = if resumes { "" } else { "&resume=0" };
    parts.path_and_query = Some(format!("{path}{separator}sb=1{resume}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Separates refusals and untrusted certificates from other errors.
fn connect_error(error: Error) -> ConnectError {
    match error {
        Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => ConnectError::Refused { status },
        error => tls::connect_error(error),
    }
}

/// The next token, and the header with it.
async fn next_token(source: &TokenSource) -> Result<(String, HeaderValue), ConnectError> {
    let token = source.next().await.map_err(ConnectError::Token)?;
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|error| ConnectError::Token(error.into()))?;
    header.set_sensitive(true);
    Ok((token, header))
}
