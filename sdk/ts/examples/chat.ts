// A chat in the terminal: what you type goes to everybody in the room, and the last line of each room is kept for those
// who come later. "#" as room listens to all of them.
//
//   NEXO_URL=nexo://localhost:7654 node dist/chat.js ann kitchen
import { createInterface } from 'node:readline';
import { NexoClient } from '@nexobroker/client';
import type { ChatLine } from './messages.js';

const [name, room] = process.argv.slice(2);
if (name === undefined || room === undefined) {
  console.error('usage: chat NAME ROOM');
  process.exit(2);
}

const client = await NexoClient.connect(process.env.NEXO_URL ?? 'nexo://localhost:7654');
const topic = client.pubsub<ChatLine>(`chat/${room}`);
await topic.subscribe(({ from, text }, meta) => {
  if (from !== name) console.log(`[${meta.topic.slice('chat/'.length)}] ${from}: ${text}`);
});
console.log(`you are ${name} in ${room}; end with Ctrl-D`);

for await (const text of createInterface({ input: process.stdin })) {
  if (text !== '') await topic.publish({ from: name, text }, { retain: true });
}
await client.close();
