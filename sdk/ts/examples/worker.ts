// Sends the mails of the queue, five at a time. On SIGTERM or SIGINT it takes no more, finishes those under way, gives back
// what it has not begun, and the process ends by itself.
//
//   NEXO_URL=nexo://localhost:7654 node dist/worker.js
import { setTimeout as sleep } from 'node:timers/promises';
import { NexoClient } from '@nexobroker/client';
import type { MailJob } from './messages.js';

const client = await NexoClient.connect(process.env.NEXO_URL ?? 'nexo://localhost:7654');
const mails = await client.queue<MailJob>('mails').create();

/** Stands for the mail server; the signal ends it when the job has gone to somebody else. */
async function send(mail: MailJob, signal: AbortSignal): Promise<void> {
  await sleep(500, undefined, { signal });
  if (!mail.to.includes('@')) throw new Error(`${mail.to} is no address`);
  console.log(`sent to ${mail.to}: ${mail.subject}`);
}

await mails.subscribe(
  async (mail, message) => {
    console.log(`begin ${mail.to}, attempt ${message.attempts}`);
    await send(mail, message.signal);
  },
  { concurrency: 5 },
);
console.log('waiting for mails');

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    console.log(`${signal}: finishing`);
    void client.close({ timeoutMs: 30_000 }).then(() => console.log('done'));
  });
}
