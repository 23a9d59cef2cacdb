//! The guide for users of emit.gg names every call of its README.

/// The calls of the server, then what a handler finds in its request, then the calls and options of the client.
const CALLS: &str = "
    new EmitApp() app.on( app.use( app.plugin( app.ns( app.broadcast( app.listen( app.close( app.emitTo( app.emitToUser(
    app.getRoomSize( app.getRoomMembers( app.getTotalSockets( app.socketExists( app.getAllSocketIds( app.setUserOnline(
    app.setUserOffline( app.isUserOnline( app.getUserSocketId( app.getOnlineUserCount( app.getOnlineUsers( app.syncTag(
    app.unsyncTag( app.getTaggedSockets( app.getTagCount( heartbeat( redisAdapter( next() includeSelf local:
    @connection @disconnect @error @any @ping @reconnect
    req.event req.data req.id req.socket req.app req.emit( req.set( req.get( req.join( req.leave( req.reply( req.broadcast(
    req.info.query req.socket.id req.socket.data
    EmitClient.connect( socket.emit( socket.request( socket.on( socket.off( socket.ns( socket.close( socket.connected
    reconnect reconnectDelay maxRetries connectTimeout";

#[test]
fn the_guide_for_emit_gg_names_every_call() {
    let guide = include_str!("../guides/moving-from-emit-gg.md");
    let (_, calls) = guide.split_once("## Calls").expect("the guide has the section");
    let missing: Vec<&str> = CALLS
        .split("\n    ")
        .flat_map(|line| line.split(' '))
        .filter(|call| !call.is_empty() && *call != "new" && !calls.contains(call))
        .collect();
    assert!(missing.is_empty(), "the guide lacks {missing:?}");
}
