//! The server's address, and opening a connection to it.

use http::{HeaderName, HeaderValue, Uri, header};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Connector, Error, Limits, MaybeTlsStream, WebSocketStream};

use crate::error::ConnectError;
use crate::meter::Metered;
use crate::options::Options;
use crate::tls;
use crate::token::TokenSource;

pub(crate) type Socket = WebSocketStream<Metered<MaybeTlsStream<TcpStream>>>;

pub(crate) struct Endpoint {
    uri: Uri,
    connector: Connector,
}

impl Endpoint {
    pub(crate) fn new(address: &str, options: &Options) -> Result<Self, ConnectError> {
        let invalid = || ConnectError::Address(address.into());
        let uri: Uri = address.parse().map_err(|_| invalid())?;
        let connector = match uri.scheme_str() {
            Some("ws") if uri.host().is_some() => Connector::Plain,
            Some("wss") if uri.host().is_some() => tls::connector(options)?,
            _ => return Err(invalid()),
        };
        Ok(Endpoint { uri, connector })
    }

    /// Opens a connection. Returns it with the token of its handshake.
    pub(crate) async fn connect(&self, options: &Options) -> Result<(Socket, Option<String>), ConnectError> {
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
        let (socket, _) =
            connected.map_err(|_| ConnectError::Timeout(timeout))?.map_err(tls::connect_error)?;
        Ok((socket, token.map(|(token, _)| token)))
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

/// The next token, and the header with it.
async fn next_token(source: &TokenSource) -> Result<(String, HeaderValue), ConnectError> {
    let token = source.next().await.map_err(ConnectError::Token)?;
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|error| ConnectError::Token(error.into()))?;
    header.set_sensitive(true);
    Ok((token, header))
}
