// The original Mesa server or Dispatcher.
//
//   original.mjs server REDIS LISTEN [sync]       accepts each token as the user in its claims
//   original.mjs dispatcher REDIS USERS [sync]    sends each input line as the data of a message to users 0, 1, …

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import mesa from '@cryb/mesa';

const { default: Server, Dispatcher, Message } = mesa;
const [what, address, ...rest] = process.argv.slice(2);
const redis = `redis://${address}`;
const sync = { enabled: rest[1] === 'sync' };

async function serve([host, port]) {
  const http = createServer();
  const server = new Server({ redis, server: http, sync, gracefullyExit: false });
  server.on('connection', (client) =>
    client.authenticate(({ token }, done) => {
      const { id } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
      done(null, { id, user: { id } });
    }),
  );
  await server.redis.ping();
  http.listen(Number(port), host, () => console.log('ready'));
}

async function dispatch(count) {
  const dispatcher = new Dispatcher(redis, { sync });
  await Promise.all([dispatcher.redis.ping(), dispatcher.publisher.ping()]);
  const users = Array.from({ length: count }, (_, number) => String(number));
  console.log('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    dispatcher.dispatch(new Message(0, JSON.parse(line), '/message'), users);
  }
  process.exit(0);
}

await (what === 'server' ? serve(rest[0].split(':')) : dispatch(Number(rest[0])));
