// Runs an original Mesa Portal on the Redis at the port that is the first argument, with the settings that
// are the second, as JSON. It writes its id, and then everything it is told, a JSON array a line. It ends
// with its input as if it had been killed, and at SIGTERM as it would.

import mesa from '@cryb/mesa';

const portal = new mesa.Portal(`redis://127.0.0.1:${process.argv[2]}`, JSON.parse(process.argv[3]));
const write = (...line) => process.stdout.write(`${JSON.stringify(line)}\n`);

for (const type of ['connection', 'authentication', 'disconnection']) {
  portal.on(type, (clientId) => write(type, clientId ?? null));
}
portal.on('message', ({ opcode, data, type }, clientId) => write('message', clientId ?? null, opcode, data, type ?? null));
portal.on('error', (error) => write('error', String(error)));

// It has announced itself, and what is published from now on reaches it.
await Promise.all([
  portal.publisher.ping(),
  portal.redis.ping(),
  portal.subscriber.subscribe(portal.portalPubSubNamespace),
]);
write('id', portal.id);

process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume();
