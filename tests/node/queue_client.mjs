// The waiting queue's stock clients, as far as the wire and their reconnecting go: options, order of
// frames, when they give up.  Written from the contract's observations (sections 2, 3.2, 3.5, 3.7).
import { Client } from '@stomp/stompjs';
import WebSocket from 'ws';

const FAILURES = 5;

/** A WebSocket that tells what goes over it: the kind of each frame and the code of the close. */
function observed(tell) {
    return class extends WebSocket {
        constructor(url, protocols) {
            super(url, protocols);
            tell('handshake', { offered: protocols });
            this.on('open', () => tell('open', { protocol: this.protocol }));
            this.on('close', code => tell('close', { code }));
            this.on('message', (data, binary) =>
                tell('received', { binary, beat: !binary && data.length === 1 }));
        }

        send(data, ...rest) {
            const text = typeof data === 'string';

            tell('sent', { binary: !text, beat: text && data === '\n' });
            super.send(data, ...rest);
        }
    };
}

/** jitsi-meet's client of the queue: binary frames, a count of failures, no timer of its own. */
export class QueueClient {
    constructor({ url, topic, token, tell, options = {} }) {
        globalThis.WebSocket = observed(tell);
        this.failures = 0;
        this.tell = tell;
        this.client = new Client({
            brokerURL: url,
            forceBinaryWSFrames: true,
            appendMissingNULLonIncoming: true,
            ...options,
            ...token ? { connectHeaders: { Authorization: `Bearer ${token}` } } : {}
        });
        this.client.onWebSocketError = () => this.failed('socket');
        this.client.onStompError = frame => this.failed(frame.headers.message);
        this.client.onConnect = frame => {
            this.failures = 0;
            tell('connected', { headers: frame.headers });
            this.subscription = this.client.subscribe(
                topic, message => tell('message', { headers: message.headers, body: JSON.parse(message.body) }));
        };
    }

    failed(reason) {
        this.failures += 1;
        this.tell('failure', { reason });
        if (this.failures === FAILURES) {
            this.tell('gave up', { failures: this.failures });
            this.client.deactivate();
        }
    }

    activate() {
        this.client.activate();
    }

    /** Current clients unsubscribe first, older ones do not. */
    async leave(order) {
        if (order === 'current') {
            this.subscription.unsubscribe();
        }
        await this.client.deactivate();
    }
}

/** The documentation's sample: text frames, and the token on SUBSCRIBE as well. */
export class SampleClient {
    constructor({ url, topic, token, tell, options = {} }) {
        globalThis.WebSocket = observed(tell);
        const headers = { Authorization: `Bearer ${token}` };

        this.client = new Client({ brokerURL: url, connectHeaders: headers, ...options });
        this.client.onWebSocketError = () => tell('failure', { reason: 'socket' });
        this.client.onStompError = frame => tell('failure', { reason: frame.headers.message });
        this.client.onConnect = frame => {
            tell('connected', { headers: frame.headers });
            this.client.subscribe(
                topic, message => tell('message', { headers: message.headers, body: JSON.parse(message.body) }),
                headers);
        };
    }

    activate() {
        this.client.activate();
    }

    async leave() {
        await this.client.deactivate();
    }
}
