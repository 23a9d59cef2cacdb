//! The guides for users of other servers name every call of theirs.

/// Of emit.gg: the calls of the server, then what a handler finds in its request, then the calls and options of the client.
const EMIT_GG: &str = "
    new EmitApp() app.on( app.use( app.plugin( app.ns( app.broadcast( app.listen( app.close( app.emitTo( app.emitToUser(
    app.getRoomSize( app.getRoomMembers( app.getTotalSockets( app.socketExists( app.getAllSocketIds( app.setUserOnline(
    app.setUserOffline( app.isUserOnline( app.getUserSocketId( app.getOnlineUserCount( app.getOnlineUsers( app.syncTag(
    app.unsyncTag( app.getTaggedSockets( app.getTagCount( heartbeat( redisAdapter( next() includeSelf local:
    @connection @disconnect @error @any @ping @reconnect
    req.event req.data req.id req.socket req.app req.emit( req.set( req.get( req.join( req.leave( req.reply( req.broadcast(
    req.info.query req.socket.id req.socket.data
    EmitClient.connect( socket.emit( socket.request( socket.on( socket.off( socket.ns( socket.close( socket.connected
    reconnect reconnectDelay maxRetries connectTimeout";

/// Of Centrifugo: the methods of the HTTP API, the proxies, and the calls of centrifuge-js.
const CENTRIFUGO: &str = "
    publish broadcast subscribe unsubscribe disconnect refresh presence presence_stats history history_remove channels info
    batch connect subscribe publish RPC Centrifuge( getToken newSubscription( sub.on( sub.publish( sub.history( sub.presence(
    rpc( gRPC allowed_origins token_hmac_secret_key history_size history_ttl";

/// Of Pusher: the endpoints of the HTTP API, the webhooks, and the calls of pusher-js.
const PUSHER: &str = "
    /events /batch_events /channels /channels/{name} /channels/{name}/users terminate_connections socket_id filter_by_prefix=
    subscription_count user_count channel_occupied channel_vacated member_added member_removed client_event cache_miss
    Pusher( pusher.subscribe( channel.bind( channel.trigger( private- presence- private-encrypted- watchlist";

/// Of Socket.IO: the calls of the server, then those of the client.
const SOCKET_IO: &str = "
    io.on( io.use( socket.use( socket.on( socket.emit( emitWithAck( socket.broadcast.emit( io.emit( io.to( io.in( .except(
    .volatile .local .compress( socket.join( socket.leave( io.socketsJoin( io.socketsLeave( io.fetchSockets(
    io.disconnectSockets( socket.disconnect( io.serverSideEmit( socket.data socket.rooms socket.handshake disconnecting
    io.of( connectionStateRecovery io(url socket.off( socket.onAny( socket.volatile.emit( socket.recovered connect_error
    retries ackTimeout transports redis-adapter redis-emitter";

fn assert_names(guide: &str, calls: &str) {
    let missing: Vec<&str> = calls
        .split("\n    ")
        .flat_map(|line| line.split(' '))
        .filter(|call| !call.is_empty() && *call != "new" && !guide.contains(call))
        .collect();
    assert!(missing.is_empty(), "the guide lacks {missing:?}");
}

#[test]
fn the_guide_for_emit_gg_names_every_call() {
    let guide = include_str!("../guides/moving-from-emit-gg.md");
    let (_, calls) = guide.split_once("## Calls").expect("the guide has the section");
    assert_names(calls, EMIT_GG);
}

#[test]
fn the_guides_for_centrifugo_pusher_and_socket_io_name_every_call() {
    assert_names(include_str!("../guides/moving-from-centrifugo.md"), CENTRIFUGO);
    assert_names(include_str!("../guides/moving-from-pusher.md"), PUSHER);
    assert_names(include_str!("../guides/moving-from-socket-io.md"), SOCKET_IO);
}
