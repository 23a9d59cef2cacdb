// Runs a legacy Mesa Portal on the Redis at the port in the first argument, with the JSON settings in the
// second. It prints its id and then each event, one JSON array per line. At the end of its input the script
// kills itself; at SIGTERM the Portal ends normally.

import mesa from '@cryb/mesa';

const portal = new mesa.Portal(`redis://127.0.0.1:${process.argv[2]}`, JSON.parse(process.argv[3]));
const write = (...line) => process.stdout.write(`${JSON.stringify(line)}\n`);

for (const type of ['connection', 'authentication', 'disconnection']) {
  portal.on(type, (clientId) => write(type, clientId ?? null));
}
portal.on('message', ({ opcode, data, type }, clientId) => write('message', clientId ?? null, opcode, data, type ?? null));
portal.on('error', (error) => write('error', String(error)));

// The Portal has announced itself, and it receives all later publications.
await Promise.all([
  portal.publisher.ping(),
  portal.redis.ping(),
  portal.subscriber.subscribe(portal.portalPubSubNamespace),
]);
write('id', portal.id);

process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume();
