// Runs an emit.gg node on the Redis at the port that is the first argument, and does what it is told,
// a JSON array a line: a number to answer with, what to call and its arguments. `socket.…` is a call of
// the socket whose id is the first of these. It ends with its input.
//
// With EMIT_GG=DIRECTORY the node is the emit.gg 1.0.5 that is there, with its dependencies.

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

/** The published node; its sockets have no network under them. */
function published(directory) {
  const load = createRequire(`${directory}/package.json`);
  const app = new (load('./src/server.js').EmitApp)();
  app.plugin(load('./src/plugins/redis.js')({ redis, pub, sub }));
  const transports = new Map();
  app.connect = () => {
    const heard = [];
    const transport = Object.assign(new EventEmitter(), { send: (text) => heard.push(JSON.parse(text)) });
    app._handleConnection(transport, { url: '/', headers: {} });
    const socket = [...app.sockets].at(-1);
    transports.set(socket.id, transport);
    return Object.assign(socket, { heard });
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
  if (name === 'heard') return socket.heard;
  if (name === 'disconnect') return node.disconnect(socket);
  return socket[name](...rest);
}

const plain = (value) => (value === node || value instanceof Object && 'rooms' in value ? null : value ?? null);

for await (const line of createInterface({ input: process.stdin })) {
  const [number, call, ...args] = JSON.parse(line);
  const result = await run(call, args);
  // Everything said and written so far has arrived in Redis.
  await Promise.all([redis.ping(), pub.ping()]);
  process.stdout.write(`${JSON.stringify([number, plain(result)])}\n`);
}
[redis, pub, sub].forEach((connection) => connection.disconnect());
