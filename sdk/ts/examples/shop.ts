// An Express app that keeps all it shares in Nexo: sessions with an expiry, a rate limit per address, a queue of mails that
// worker.ts sends, and a stream of who logged in and out. Any number of these can run side by side.
//
//   NEXO_URL=nexo://localhost:7654 PORT=3000 node dist/shop.js
import { randomUUID } from 'node:crypto';
import { NexoClient } from '@nexobroker/client';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { AuditEvent, MailJob } from './messages.js';

interface Session {
  user: string;
  since: string;
}

const sessionSeconds = 1800;
const requestsPerMinute = 20;

const client = await NexoClient.connect(process.env.NEXO_URL ?? 'nexo://localhost:7654');
const sessions = client.store.map;
const mails = await client.queue<MailJob>('mails').create();
const audit = await client.stream<AuditEvent>('audit').create({ retention: { maxAgeMs: 30 * 24 * 3600 * 1000 } });

const app = express();
app.use(express.json());

const limiter = client.store.limiter('requests', { max: requestsPerMinute, windowMs: 60_000 });

/** Lets so many requests per minute and address through; the server decides, so all processes count together. */
app.use(async (request: Request, response: Response, next: NextFunction) => {
  const { allowed, remaining, retryAfterMs } = await limiter.take(String(request.ip));
  response.set('RateLimit-Remaining', String(remaining));
  if (allowed) {
    next();
    return;
  }
  response
    .set('Retry-After', String(Math.ceil(retryAfterMs / 1000)))
    .status(429)
    .json({ error: 'too many requests' });
});

function tokenOf(request: Request): string {
  return (request.get('authorization') ?? '').replace(/^Bearer /, '');
}

app.post('/login', async (request, response) => {
  const user: unknown = request.body?.user;
  if (typeof user !== 'string' || user === '') {
    response.status(400).json({ error: 'user is missing' });
    return;
  }
  const token = randomUUID();
  const at = new Date().toISOString();
  await sessions.set(`session:${token}`, { user, since: at } satisfies Session, { ttl: sessionSeconds });
  await audit.publish({ type: 'login', user, at });
  // One mail per user and five minutes, however often somebody logs in.
  await mails.add({ to: user, subject: 'You have logged in' }, { jobId: `login:${user}` });
  response.status(201).json({ token });
});

app.get('/me', async (request, response) => {
  const key = `session:${tokenOf(request)}`;
  const session = await sessions.get<Session>(key);
  if (session === null) {
    response.status(401).json({ error: 'not logged in' });
    return;
  }
  await sessions.expire(key, sessionSeconds);
  response.json(session);
});

app.post('/logout', async (request, response) => {
  const key = `session:${tokenOf(request)}`;
  const session = await sessions.get<Session>(key);
  if (session !== null && (await sessions.del(key))) {
    await audit.publish({ type: 'logout', user: session.user, at: new Date().toISOString() });
  }
  response.status(204).end();
});

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', (error) => {
  if (error) throw error;
  const address = server.address();
  console.log(`listening on ${typeof address === 'object' ? address?.port : address}`);
});

process.once('SIGTERM', () => {
  server.close(() => {
    void client.close();
  });
});
