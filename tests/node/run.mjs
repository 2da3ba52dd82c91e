// One client, told what to do by lines of JSON on stdin; what happens to it goes to stdout the same way.
import { createInterface } from 'node:readline';

import { QueueClient, SampleClient } from './queue_client.mjs';

const CLIENTS = { stock: QueueClient, sample: SampleClient };

function tell(event, facts = {}) {
    process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);
}

let client;

for await (const line of createInterface({ input: process.stdin })) {
    const { act, ...given } = JSON.parse(line);

    if (act === 'activate') {
        client = new CLIENTS[given.kind]({ ...given, tell });
        client.activate();
    } else if (act === 'leave') {
        client.leave(given.order).then(() => tell('left'));
    } else {
        throw new Error(`unknown: ${act}`);
    }
}
process.exit(0);
