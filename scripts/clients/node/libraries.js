// Each library behind the few things that the tests do with it. set, get, pipeline and subscribe use the library's own
// typed calls; call is its way to send any command. Errors of the connection are expected around a restart: both
// libraries report them as events and reconnect by themselves.
import { Redis } from "ioredis";
import { createClient } from "redis";

// Messages in the order of their arrival, for a reader that waits.
class Inbox {
  #messages = [];
  #readers = [];

  put(message) {
    const reader = this.#readers.shift();
    if (reader) reader(message);
    else this.#messages.push(message);
  }

  next() {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("no message within 10 s")), 10_000);
      this.#readers.push((message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
  }
}

async function nodeRedis(port, options = {}) {
  const client = createClient({ socket: { port, host: "127.0.0.1", ...options.socket }, ...options.client });
  client.on("error", () => {});
  await client.connect();
  return {
    set: (key, value) => client.set(key, value),
    get: (key) => client.get(key),
    pipeline: (counter, n) => Promise.all(Array.from({ length: n }, () => client.incr(counter))),
    call: (...words) => client.sendCommand(words),
    async subscribe(filter) {
      const inbox = new Inbox();
      const subscriber = client.duplicate();
      subscriber.on("error", () => {});
      await subscriber.connect();
      await subscriber.pSubscribe(filter, (payload, topic) => inbox.put({ topic, payload }));
      return { next: () => inbox.next(), stop: () => subscriber.destroy() };
    },
    close: () => client.destroy(),
  };
}

async function ioredis(port, options = {}) {
  const client = new Redis({ port, host: "127.0.0.1", ...options });
  client.on("error", () => {});
  return {
    set: (key, value) => client.set(key, value),
    get: (key) => client.get(key),
    async pipeline(counter, n) {
      const pipeline = client.pipeline();
      for (let i = 0; i < n; i++) pipeline.incr(counter);
      return (await pipeline.exec()).map(([error, value]) => {
        if (error) throw error;
        return value;
      });
    },
    call: (name, ...words) => client.call(name, ...words),
    async subscribe(filter) {
      const inbox = new Inbox();
      const subscriber = client.duplicate();
      subscriber.on("error", () => {});
      subscriber.on("pmessage", (_filter, topic, payload) => inbox.put({ topic, payload }));
      await subscriber.psubscribe(filter);
      return { next: () => inbox.next(), stop: () => subscriber.disconnect() };
    },
    close: () => client.disconnect(),
  };
}

export const libraries = { "node-redis": nodeRedis, ioredis };
