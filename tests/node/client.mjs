// One stompjs client, told what to do by JSON lines on standard input, telling what happens on standard output.
//
// Options (first argument, JSON): url, token, destination, leave ("current" or "old"), delay (ms between tries),
// text (true: the documentation sample's client instead of jitsi-meet's).
import readline from 'node:readline';
import { Client } from '@stomp/stompjs';
import { WebSocket } from 'ws';

Object.assign(globalThis, { WebSocket });

const options = JSON.parse(process.argv[2]);
const tell = (event, more = {}) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);

// What jitsi-meet does around stompjs: errors in a row end the tries, a CONNECTED frame clears them.
const MOST_ERRORS = 5;
let errors = 0;
const failed = async (why) => {
    errors += 1;
    tell('error', { why, errors });
    if (errors >= MOST_ERRORS) {
        await client.deactivate();
        tell('gave up');
    }
};

const headers = options.token ? { Authorization: `Bearer ${options.token}` } : {};
const client = new Client({
    brokerURL: options.url,
    connectHeaders: headers,
    ...(options.text ? {} : { forceBinaryWSFrames: true, appendMissingNULLonIncoming: true }),
    ...(options.delay ? { reconnectDelay: options.delay } : {}),
    ...(options.heartbeat ? { heartbeatIncoming: options.heartbeat, heartbeatOutgoing: options.heartbeat } : {}),
});

let subscription;
client.onConnect = (frame) => {
    errors = 0;
    tell('connected', { headers: frame.headers });
    subscription = client.subscribe(
        options.destination,
        (message) => tell('message', { headers: message.headers, body: JSON.parse(message.body) }),
        options.text ? headers : undefined,
    );
    tell('subscribed');
};
client.onStompError = (frame) => failed(frame.headers.message);
client.onWebSocketError = (event) => failed(`socket: ${event.message}`);
client.onWebSocketClose = (event) => tell('closed', { code: event.code });

const lines = readline.createInterface({ input: process.stdin });
for await (const line of lines) {
    if (line === 'activate') {
        client.activate();
    } else if (line === 'leave') {
        if (options.leave === 'current') {
            subscription.unsubscribe();
        }
        await client.deactivate();
        tell('left');
    }
}
await client.deactivate();
