// Writes API.md, the reference, from the declarations that the compiler made: what the package exports, with its doc comments.
//
//   node scripts/reference.mjs            writes it (after npm run build)
//   node scripts/reference.mjs --check    fails when it is not what the sources say, a method of a class has no doc comment, or
//                                         something that is exported speaks of a type that is not
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const declarations = join(root, 'dist/esm');
const titles = {
  client: 'Client',
  codec: 'Codec',
  connection: 'Connection',
  consumer: 'Subscriptions',
  dlq: 'Dead-letter queues',
  entries: 'Entries and groups',
  errors: 'Errors',
  limiter: 'Limiters',
  lock: 'Locks',
  options: 'Options',
  otel: '@nexobroker/client/otel',
  pubsub: 'Pub/sub',
  queue: 'Queues',
  store: 'Store',
  stream: 'Streams',
};
const order = [
  ...[
    'client',
    'options',
    'store',
    'limiter',
    'lock',
    'pubsub',
    'queue',
    'dlq',
    'stream',
    'entries',
    'consumer',
    'errors',
    'codec',
  ],
  ...['connection', 'otel'],
];

/** The names that index.ts exports, by the module they come from. */
function exportedNames() {
  const index = readFileSync(join(declarations, 'index.d.ts'), 'utf8');
  const names = new Map();
  for (const [, list, module] of index.matchAll(/export (?:type )?\{([^}]*)\} from '\.\/(\w+)\.js';/g)) {
    const found = list.split(',').map((name) => name.trim().replace(/^type /, ''));
    names.set(module, [...(names.get(module) ?? []), ...found.filter((name) => name !== '')]);
  }
  const unknown = [...names.keys()].filter((module) => !order.includes(module));
  if (unknown.length > 0) throw new Error(`scripts/reference.mjs has no chapter for ${unknown}`);
  return names;
}

/**
 * Splits declarations into { doc, code }: those that begin at this indent, each up to the line that closes it. The compiler
 * indents by four, so what is nested is further right.
 */
function blocks(lines, indent) {
  const found = [];
  let doc = [];
  for (let at = 0; at < lines.length; at++) {
    const text = lines[at].slice(indent);
    if (text.startsWith('/**')) {
      const begin = at;
      while (!lines[at].trimEnd().endsWith('*/')) at++;
      doc = lines.slice(begin, at + 1).map((line) => line.trim().replace(/^\/?\*+\/? ?|\s*\*\/$/g, ''));
      continue;
    }
    const code = [text];
    let depth = 0;
    for (;;) {
      depth += (lines[at].match(/[{[(]/g)?.length ?? 0) - (lines[at].match(/[}\])]/g)?.length ?? 0);
      if (depth <= 0) break;
      at++;
      code.push(lines[at].slice(indent));
    }
    found.push({ doc: doc.join(' ').trim(), code });
    doc = [];
  }
  return found;
}

const fence = (lines) => ['```ts', ...lines, '```'];

/** Interfaces, types and functions are shown as they are declared; a class method by method. */
function describe(name, { doc, code }, undocumented) {
  const head = code[0].replace(/^export (declare )?/, '');
  const text = [`### ${name}`, '', ...(doc === '' ? [] : [doc, ''])];
  if (!head.startsWith('class ')) {
    return [...text, ...fence([head, ...code.slice(1)]), ''];
  }
  const begin = code.findIndex((line) => line.endsWith(' {')); // not the `EventEmitter<{` of a type argument
  const members = blocks(code.slice(begin + 1, -1), 4).filter(
    ({ code: [first] }) => !/^(#private|private |constructor\()/.test(first),
  );
  text.push(
    ...fence([...code.slice(0, begin), code[begin]].map((line) => line.replace(/^export (declare )?/, '').replace(/ \{$/, ''))),
    '',
  );
  for (const member of members) {
    const [first] = member.code;
    const isMethod = !/^(readonly |get |\w+[?]?:)/.test(first);
    if (isMethod && member.doc === '' && !first.startsWith('[')) undocumented.push(`${name}.${first}`);
    text.push(...fence(member.code), '', ...(member.doc === '' ? [] : [member.doc, '']));
  }
  return text;
}

/** Types that callers meet, by what is exported, and cannot name. */
function unnameable(names, text) {
  const exported = new Set([...names.values()].flat());
  const declared = readdirSync(declarations)
    .filter((file) => file.endsWith('.d.ts') && file !== 'index.d.ts')
    .flatMap((file) => [
      ...readFileSync(join(declarations, file), 'utf8').matchAll(/^(?:export )?(?:declare )?(?:class|interface|type) (\w+)/gm),
    ])
    .map(([, name]) => name);
  const code = [...text.join('\n').matchAll(/```ts\n(.*?)```/gs)].map(([, lines]) => lines).join('\n');
  return [...new Set(declared)].filter((name) => !exported.has(name) && new RegExp(`\\b${name}\\b`).test(code));
}

const undocumented = [];
const names = exportedNames();
names.set('otel', ['openTelemetry', 'OpenTelemetryOptions']); // an entry of its own
const text = [
  '# Reference of @nexobroker/client',
  '',
  'Made from the doc comments by `npm run reference`; README.md tells how things go together.',
  '',
];
for (const module of order.filter((known) => names.has(known))) {
  const lines = readFileSync(join(declarations, `${module}.d.ts`), 'utf8')
    .trimEnd()
    .split('\n');
  const declared = blocks(lines, 0);
  text.push(`## ${titles[module]}`, '');
  for (const name of names.get(module)) {
    const declaration = new RegExp(`^export (declare )?(class|interface|type|function) ${name}\\b`);
    const block = declared.find(({ code: [first] }) => declaration.test(first));
    if (block === undefined) throw new Error(`${module}.d.ts does not declare ${name}`);
    text.push(...describe(name, block, undocumented));
  }
}
const reference = `${text.join('\n').trimEnd()}\n`;
const path = join(root, 'API.md');
if (!process.argv.includes('--check')) {
  writeFileSync(path, reference);
} else {
  if (readFileSync(path, 'utf8') !== reference) throw new Error('API.md is stale: npm run build && npm run reference');
  const hidden = unnameable(names, text);
  if (hidden.length > 0) throw new Error(`spoken of and not exported: ${hidden.join(', ')}`);
  if (undocumented.length > 0) throw new Error(`without a doc comment: ${undocumented.join(', ')}`);
}
