import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestServer } from './server.js';

let server: TestServer;
const project = mkdtempSync(join(tmpdir(), 'nexo-readme-'));
const sdk = join(import.meta.dirname, '..');

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(async () => {
  await server.stop();
  rmSync(project, { recursive: true, force: true });
});

/** The first code block of the README, in a project that has the built package installed. */
it('the example of the README runs as it stands, and the process ends by itself', async () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(sdk, 'README.md'), 'utf8'))?.[1] as string;
  expect(example).toContain("NexoClient.connect({ host: 'localhost', port: 7654 })");
  mkdirSync(join(project, 'node_modules/@nexobroker'), { recursive: true });
  symlinkSync(sdk, join(project, 'node_modules/@nexobroker/client'));
  symlinkSync(join(sdk, 'node_modules/@types'), join(project, 'node_modules/@types'));
  writeFileSync(join(project, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: { target: 'es2022', module: 'nodenext', strict: true, types: ['node'], rootDir: '.' },
      include: ['example.ts'],
    }),
  );
  writeFileSync(join(project, 'example.ts'), example);
  const run = promisify(execFile);
  await run(join(sdk, 'node_modules/.bin/tsc'), ['-p', project]).catch((error: { stdout: string }) => {
    throw new Error(error.stdout);
  });
  // The port is the only thing that differs from what a reader types: 7654 may be taken here.
  const compiled = join(project, 'example.js');
  writeFileSync(compiled, readFileSync(compiled, 'utf8').replace('port: 7654', `port: ${server.port}`));
  const { stdout } = await run(process.execPath, [compiled], { timeout: 20_000 });
  expect(stdout).toContain("{ to: 'test@test.com' }");
  expect(stdout).toContain('User u1 performed login');
  const client = await server.connect();
  expect((await client.queue('video-processing').stats()).ready).toBe(1);
  expect((await client.stream('video-archive').info()).entries).toBe(1);
  await client.close();
});

it.each([
  ['@nexobroker/client', 'NexoClient.connect'],
  ['@nexobroker/client/otel', 'openTelemetry'],
])('%s can be required and imported', async (module, member) => {
  const run = promisify(execFile);
  const log = `console.log(typeof exported.${member});`;
  writeFileSync(join(project, 'required.cjs'), `const exported = require('${module}'); ${log}`);
  writeFileSync(join(project, 'imported.mjs'), `import * as exported from '${module}'; ${log}`);
  for (const script of ['required.cjs', 'imported.mjs']) {
    const { stdout } = await run(process.execPath, [join(project, script)]);
    expect(stdout.trim()).toBe('function');
  }
});
