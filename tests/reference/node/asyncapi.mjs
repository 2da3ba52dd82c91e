// Prints what the official parser has to say of an AsyncAPI document, as JSON.
import { readFileSync } from 'node:fs';

import { Parser } from '@asyncapi/parser';

const SEVERITIES = ['error', 'warning', 'information', 'hint'];

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], 'utf8'));
console.log(JSON.stringify({
  parsed: document !== undefined,
  diagnostics: diagnostics.map((each) => ({
    severity: SEVERITIES[each.severity],
    path: each.path.join('.'),
    message: each.message,
  })),
}));
