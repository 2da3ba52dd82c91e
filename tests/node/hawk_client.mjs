// npm hawk, told by lines of JSON on stdin what to send; what came back goes to stdout the same way.
//
// Every answer that is signed is verified, its body too; a request with credentials whose answer is not signed
// says so.
import { createInterface } from 'node:readline';

import Hawk from 'hawk';

function own(response) {
    return Object.fromEntries(response.headers.entries());
}

async function ask({ method, url, body, credentials, authorization, offset }) {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    let artifacts;

    if (credentials) {
        const options = { credentials, localtimeOffsetMsec: offset };
        if (body !== undefined) {
            Object.assign(options, { payload: body, contentType: 'application/json' });
        }
        const signed = Hawk.client.header(url, method, options);
        headers.Authorization = signed.header;
        artifacts = signed.artifacts;
    } else if (authorization) {
        headers.Authorization = authorization;
    }

    const response = await fetch(url, { method, headers, body });
    const text = await response.text();
    const answer = { status: response.status, headers: own(response), body: text, verified: null };
    if (artifacts) {
        const options = { required: response.status !== 401, payload: text === '' ? undefined : text };
        try {
            Hawk.client.authenticate(answer, credentials, artifacts, options);
            answer.verified = 'server-authorization' in answer.headers;
        } catch (error) {
            answer.verified = error.message;
        }
    }
    return answer;
}

for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await ask(JSON.parse(line)))}\n`);
}
process.exit(0);
