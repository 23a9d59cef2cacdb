// Runs legacy Mesa Dispatchers, servers and clients on the Redis at the port in the first argument. Each input
// line is a JSON array: a number that the reply repeats, an action, and its arguments. The script ends with
// its input.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import mesa from '@cryb/mesa';

const { default: Server, Client, DispatchEvent, Dispatcher, Message } = mesa;
const redis = `redis://127.0.0.1:${process.argv[2]}`;

/** All created objects, by number. */
const made = [];
const keep = (thing) => made.push(thing) - 1;
const message = ({ op = 0, d = {}, t, o }) => new Message(op, d, t, o);

const actions = {
  /** Creates a Dispatcher and waits until it is connected, so that its messages keep their order. */
  async dispatcher(config) {
    const dispatcher = new Dispatcher(redis, config);
    await Promise.all([dispatcher.redis.ping(), dispatcher.publisher.ping()]);
    return keep(dispatcher);
  },
  dispatch: (dispatcher, fields, ...to) => made[dispatcher].dispatch(message(fields), ...to),
  disconnect: (dispatcher, ...to) => made[dispatcher].dispatch(new DispatchEvent('DISCONNECT_CLIENT'), ...to),

  /** Starts a server that accepts `user:7` as the token of user 7. Returns its number and port. */
  async server(config) {
    const http = createServer();
    const server = new Server({ ...config, redis, server: http, gracefullyExit: false });
    server.on('connection', (client) =>
      client.authenticate(({ token }, done) => {
        const id = token.replace(/^user:/, '');
        done(null, { id, user: { id } });
      }),
    );
    await server.redis.ping();
    await server.subscriber.psubscribe('nothing');
    await new Promise((listening) => http.listen(0, '127.0.0.1', listening));
    return [keep(server), http.address().port];
  },
  send: (server, fields, ...to) => made[server].send(message(fields), ...to),

  /** Connects a client. Its log `seen` records connects, messages and disconnects. */
  async connect(url) {
    const client = new Client(url, { autoConnect: false });
    client.seen = [];
    client.on('connected', () => client.seen.push('connected'));
    client.on('message', ({ opcode, data, type, sequence }) => client.seen.push([opcode, type, data, sequence]));
    client.on('disconnected', (code) => client.seen.push(code));
    client.on('error', () => {});
    client.beats = 0;
    const send = client.send.bind(client);
    client.send = (sent) => {
      if (sent.opcode === 11) client.beats += 1;
      return send(sent);
    };
    await client.connect();
    return keep(client);
  },
  authenticate: (client, data, config) => made[client].authenticate(data, config),
  clientSend: (client, fields) => made[client].send(message(fields)),
  leave: (client, code) => made[client].disconnect(code),
  seen: (client) => made[client].seen,
  /** The number of heartbeats that the client answered. */
  beats: (client) => made[client].beats,
  rules: (client) => [made[client].rules, made[client].heartbeatIntervalTime, made[client].reconnectionIntervalTime],
};

for await (const line of createInterface({ input: process.stdin })) {
  const [number, action, ...args] = JSON.parse(line);
  const result = await actions[action](...args);
  process.stdout.write(`${JSON.stringify([number, typeof result === 'object' || typeof result === 'number' ? result : null])}\n`);
}
process.exit(0);
