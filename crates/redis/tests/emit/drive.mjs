// Runs a legacy emit.gg node on the Redis at the port in the first argument. Each input line is a JSON array:
// a number that the reply repeats, a method name, and its arguments. `socket.…` calls a method of a socket;
// the first argument is its id. The script ends with its input.
//
// With EMIT_GG=DIRECTORY it runs the installation of emit.gg 1.0.5 in that directory.

import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

import Redis from 'ioredis';

import { Original, users } from './original.mjs';

const port = Number(process.argv[2]);
const [redis, pub, sub] = [0, 1, 2].map(() => new Redis(port));
const node = process.env.EMIT_GG ? published(process.env.EMIT_GG) : new Original({ redis, pub, sub });
Object.assign(node, users(node, redis, 'original'));
if (node instanceof Original) await node.listen();
else await sub.subscribe('emit.gg', 'emit.gg:direct');

/** A node of the published package. Its sockets have no network connection. */
function published(directory) {
  const load = createRequire(`${directory}/package.json`);
  const app = new (load('./src/server.js').EmitApp)();
  app.plugin(load('./src/plugins/redis.js')({ redis, pub, sub }));
  const transports = new Map();
  app.connect = () => {
    const received = [];
    const transport = Object.assign(new EventEmitter(), { send: (text) => received.push(JSON.parse(text)) });
    app._handleConnection(transport, { url: '/', headers: {} });
    const socket = [...app.sockets].at(-1);
    transports.set(socket.id, transport);
    return Object.assign(socket, { received });
  };
  app.disconnect = (socket) => void transports.get(socket.id).emit('close');
  return app;
}

const sockets = new Map();

async function run(call, args) {
  if (call === 'connect') {
    const socket = await node.connect();
    sockets.set(socket.id, socket);
    return socket.id;
  }
  if (!call.startsWith('socket.')) return node[call](...args);
  const [id, ...rest] = args;
  const [socket, name] = [sockets.get(id), call.slice('socket.'.length)];
  if (name === 'received') return socket.received;
  if (name === 'disconnect') return node.disconnect(socket);
  return socket[name](...rest);
}

const plain = (value) => (value === node || value instanceof Object && 'rooms' in value ? null : value ?? null);

for await (const line of createInterface({ input: process.stdin })) {
  const [number, call, ...args] = JSON.parse(line);
  const result = await run(call, args);
  // Waits until all earlier publications and writes have reached Redis.
  await Promise.all([redis.ping(), pub.ping()]);
  process.stdout.write(`${JSON.stringify([number, plain(result)])}\n`);
}
[redis, pub, sub].forEach((connection) => connection.disconnect());
