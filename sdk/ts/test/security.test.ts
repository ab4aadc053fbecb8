import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NexoClient, type NexoOptions, NotConnectedError, ServerError, ValidationError } from '../src/index.js';
import { parseUrl } from '../src/options.js';
import { TestServer, until } from './server.js';

/** Whether a client with these options gets in, and can work. */
async function works(options: NexoOptions | string): Promise<boolean> {
  const client = await NexoClient.connect(options);
  await client.store.map.set('k', 'v');
  const value = await client.store.map.get('k');
  await client.close();
  return value === 'v';
}

describe('passwords', () => {
  const password = 'päss:word/@%';
  const directory = mkdtempSync(join(tmpdir(), 'nexo-password-'));
  let server: TestServer;

  beforeEach(async () => {
    const file = join(directory, 'password');
    writeFileSync(file, password);
    server = await TestServer.start(['--password-file', file], { password });
  });
  afterEach(() => server.stop());
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('let in, as an option or in a URL, with or without the name of the default user', async () => {
    const at = { host: '127.0.0.1', port: server.port };
    expect(await works({ ...at, password })).toBe(true);
    expect(await works({ ...at, username: 'default', password })).toBe(true);
    const escaped = encodeURIComponent(password);
    expect(await works(`nexo://:${escaped}@127.0.0.1:${server.port}`)).toBe(true);
    expect(await works(`nexo://default:${escaped}@127.0.0.1:${server.port}`)).toBe(true);
  });

  it.each([
    ['wrong', { password: 'wrong' }, 'WRONGPASS'],
    ['of somebody else', { username: 'somebody', password }, 'WRONGPASS'],
    ['missing', { password: undefined }, 'NOAUTH'],
  ])('keep out when %s', async (_, options, code) => {
    const failure = await server.connect(options).catch((error: Error) => error);
    expect(failure).toBeInstanceOf(ServerError);
    expect(failure).toMatchObject({ code });
    expect(String(failure)).not.toContain(password);
  });

  it('are those of subscriptions, too, and given again after a loss', async () => {
    const client = await server.connect({ reconnect: { minMs: 50, maxMs: 50 } });
    const q = client.queue<number>('q');
    await q.push(1);
    const got: number[] = [];
    const subscription = await q.subscribe((n) => got.push(n));
    await until('the first job to be acknowledged', async () => (await q.stats()).acked === 1);
    client.connection.socket.destroy();
    (subscription as unknown as { socket: { destroy(): void } }).socket.destroy();
    await until('the connection', () => client.isConnected);
    await q.push(2);
    await until('the second job', () => got.length > 1);
    expect(got).toEqual([1, 2]);
    await client.close();
  });
});

describe('TLS', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nexo-tls-'));
  const path = (name: string): string => join(directory, name);
  let server: TestServer;
  let ca: Buffer;

  /** A certificate that is signed by itself. */
  function certificate(name: string): void {
    const files = ['-keyout', path(`${name}.key`), '-out', path(`${name}.pem`)];
    const subject = ['-subj', '/CN=nexo', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:nexo.test'];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, ...files, ...subject], { stdio: 'pipe' });
  }

  beforeAll(async () => {
    certificate('server');
    certificate('client');
    certificate('other');
    ca = readFileSync(path('server.pem'));
    const flags = ['--tls-cert', path('server.pem'), '--tls-key', path('server.key')];
    server = await TestServer.start(flags, { tls: { ca } });
  });
  afterAll(async () => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('works with the authority that signed the certificate', async () => {
    const at = { host: '127.0.0.1', port: server.port };
    expect(await works({ ...at, tls: { ca } })).toBe(true);
    expect(await works({ ...at, tls: { ca: ca.toString(), servername: 'nexo.test' } })).toBe(true);
    expect(await works({ ...at, tls: { rejectUnauthorized: false } })).toBe(true);
  });

  it('carries subscriptions', async () => {
    const client = await server.connect();
    const got: string[] = [];
    await client.pubsub<string>('a/+').subscribe((text) => got.push(text));
    await client.pubsub<string>('a/b').publish('message');
    const subscription = await client
      .queue<string>('q')
      .push('job')
      .then(() => client.queue<string>('q').subscribe((text) => got.push(text)));
    await until('both', () => got.length === 2);
    await subscription.stop();
    await client.close();
    expect(got.sort()).toEqual(['job', 'message']);
  });

  it.each<[string, () => NexoOptions['tls'], RegExp]>([
    ['no authority', () => true, /self-signed certificate/],
    ['another authority', () => ({ ca: readFileSync(path('other.pem')) }), /self-signed certificate/],
    ['another name', () => ({ ca, servername: 'elsewhere.test' }), /does not match certificate's altnames/],
  ])('refuses with %s, and says why', async (_, tls, why) => {
    const failure = await server.connect({ tls: tls() }).catch((error: Error) => error);
    expect(failure).toBeInstanceOf(NotConnectedError);
    expect((failure as Error).message).toMatch(why);
  });

  it('is asked for by the URL', async () => {
    await expect(NexoClient.connect(`nexos://127.0.0.1:${server.port}`)).rejects.toThrow(/self-signed/);
    await expect(NexoClient.connect(`nexo://127.0.0.1:${server.port}?tls=1`)).rejects.toThrow(/self-signed/);
  });

  it('is not spoken by accident: one side alone does not connect', async () => {
    await expect(server.connect({ tls: false, requestTimeoutMs: 1000 })).rejects.toThrow(NotConnectedError);
    const open = await TestServer.start();
    await expect(open.connect({ tls: true })).rejects.toThrow(NotConnectedError);
    await open.stop();
  });

  it('shows a certificate of its own to a server that asks for one', async () => {
    const flags = ['--tls-cert', path('server.pem'), '--tls-key', path('server.key'), '--tls-client-ca', path('client.pem')];
    const own = { ca, cert: readFileSync(path('client.pem')), key: readFileSync(path('client.key')) };
    const strict = await TestServer.start(flags, { tls: own });
    expect(await works({ host: '127.0.0.1', port: strict.port, tls: own })).toBe(true);
    await expect(strict.connect({ tls: { ca } })).rejects.toThrow(NotConnectedError);
    await strict.stop();
  });
});

describe('URLs', () => {
  it.each<[string, NexoOptions]>([
    ['nexo://localhost', { host: 'localhost' }],
    ['nexo://[::1]:7655', { host: '::1', port: 7655 }],
    ['nexo://a%40b:p%3Aw@host', { host: 'host', username: 'a@b', password: 'p:w' }],
    ['nexo://host?tls=0&name=mailer', { host: 'host', tls: false, name: 'mailer' }],
    ['nexos://host', { host: 'host', tls: true }],
    ['redis://host', { host: 'host', port: 6379 }],
    ['redis://host:7654/', { host: 'host', port: 7654 }],
    ['redis://host:7654/3?name=mailer', { host: 'host', port: 7654, database: 3, name: 'mailer' }],
    ['rediss://:p%3Aw@[::1]/0', { host: '::1', port: 6379, password: 'p:w', tls: true, database: 0 }],
  ])('%s', (url, options) => expect(parseUrl(url)).toEqual(options));

  // What is not understood is refused: a typing error must not turn encryption off.
  it.each([
    ...['nexo://host?tls=true', 'nexo://host?ssl=1', 'nexo://host/1', 'nexo://host#x', 'nexos://host?tls=0', 'http://host'],
    ...['nowhere', 'redis://host/a', 'redis://host/1/2', 'redis://host?db=1', 'rediss://host?tls=0', 'redis://host#1'],
  ])('refuses %s', (url) => expect(() => parseUrl(url)).toThrow(ValidationError));
});
