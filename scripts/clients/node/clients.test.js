import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { libraries } from "./libraries.js";
import { Server } from "./server.js";

for (const [name, open] of Object.entries(libraries)) {
  describe(name, () => {
    let server;
    let client;

    before(async () => {
      server = await Server.start();
      client = await open(server.port);
    });

    after(async () => {
      client?.close();
      await server?.remove();
    });

    test("set and get", async () => {
      const value = "v\r\n\0 ü " + "x".repeat(100_000);
      assert.equal(await client.set("client:key", value), "OK");
      assert.equal(await client.get("client:key"), value);
      assert.equal(await client.get("client:missing"), null);
      await assert.rejects(client.call("GET"), /wrong number of arguments for 'get'/);
    });

    test("pipeline", async () => {
      const want = Array.from({ length: 1000 }, (_, i) => i + 1);
      assert.deepEqual(await client.pipeline("client:counter", 1000), want);
    });

    test("wildcards and retained values", async () => {
      await client.call("NPUB", "client/oven/temperature", "213", "RETAIN");
      await client.call("NPUB", "client/oven/zone/temperature", "300", "RETAIN");
      const { next, stop } = await client.subscribe("client/+/temperature");
      try {
        assert.deepEqual(await next(), { topic: "client/oven/temperature", payload: "213" });
        assert.equal(await client.call("NPUB", "client/press/temperature", "71"), 1);
        await client.call("PUBLISH", "client/press/other/temperature", "not for us");
        await client.call("PUBLISH", "client/saw/temperature", "55");
        assert.deepEqual(await next(), { topic: "client/press/temperature", payload: "71" });
        assert.deepEqual(await next(), { topic: "client/saw/temperature", payload: "55" });
      } finally {
        stop();
      }
    });

    test("queue", async () => {
      const id = await client.call("QPUSH", "client-jobs", "payload", "PRIORITY", "3");
      const [[handle, payload, attempt]] = await client.call("QPOP", "client-jobs", "BLOCK", "1s");
      assert.deepEqual([handle, payload, attempt], [`${id}-1`, "payload", 1]);
      assert.equal(await client.call("QACK", "client-jobs", handle), 1);
      assert.equal(await client.call("QACK", "client-jobs", handle), 0);
      assert.equal(await client.call("QPOP", "client-jobs"), null);
      await assert.rejects(client.call("QPUSH", "client-jobs", "x", "BOGUS"), /syntax error near 'BOGUS'/);
    });

    test("blocking pop", async () => {
      // A blocked command holds up its connection, so the consumer has one of its own.
      const consumer = await open(server.port);
      await client.call("QCREATE", "client-later");
      try {
        const popped = consumer.call("QPOP", "client-later", "BLOCK", "5s");
        await client.call("QPUSH", "client-later", "late", "DELAY", "300ms");
        const [[handle, payload]] = await popped;
        assert.equal(payload, "late");
        assert.equal(await client.call("QACK", "client-later", handle), 1);
      } finally {
        consumer.close();
      }
    });

    test("stream", async () => {
      for (let i = 1; i <= 5; i++) assert.equal(await client.call("XAPPEND", "client-events", `event ${i}`), i);
      const [epoch, , entries] = await client.call("XCONSUME", "client-events", "group", "consumer", "COUNT", "3", "MK");
      assert.deepEqual(
        entries.map(([offset, , deliveries, payload]) => [offset, deliveries, payload]),
        [1, 2, 3].map((i) => [i, 1, `event ${i}`]),
      );
      assert.equal(await client.call("XACK", "client-events", "group", "#1..#3", "EPOCH", String(epoch)), 3);
      const page = await client.call("XFETCH", "client-events", "first", "COUNT", "10");
      assert.equal(page[3].length, 5);
    });

    test("a pop whose client went away loses no job", async () => {
      await client.call("QCREATE", "client-left", "LEASE", "10m");
      const gone = await open(server.port);
      const waiting = gone.call("QPOP", "client-left", "BLOCK", "0").catch((error) => error);
      // The queue tells who waits; the pop is blocked once it is counted.
      while (!(await client.call("INFO", "clients")).toString().includes("blocked_clients:1")) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      gone.close();
      assert.ok((await waiting) instanceof Error);
      while (!(await client.call("INFO", "clients")).toString().includes("blocked_clients:0")) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      await client.call("QPUSH", "client-left", "job");
      const [[handle, payload, attempt]] = await client.call("QPOP", "client-left", "BLOCK", "2s");
      assert.deepEqual([payload, attempt], ["job", 1]);
      assert.equal(await client.call("QACK", "client-left", handle), 1);
    });

    test("restart", async () => {
      await client.call("QPUSH", "client-durable", "kept");
      await client.call("XAPPEND", "client-events", "event 6");
      let early;
      await server.restart(async () => {
        // A library either waits until INFO says that the load is over, or passes the error on.
        early = client.set("client:early", "call").catch((error) => error);
        await new Promise((resolve) => setTimeout(resolve, 500));
      });
      const outcome = await early;
      if (outcome instanceof Error) assert.match(outcome.message, /^LOADING Nexo is loading its logs: |closed|ECONN/);
      else assert.equal(outcome, "OK");
      const deadline = Date.now() + 10_000;
      for (;;) {
        try {
          await client.set("client:after", "restart");
          break;
        } catch (error) {
          if (Date.now() > deadline) throw error;
        }
      }
      const [[, payload]] = await client.call("QPOP", "client-durable");
      assert.equal(payload, "kept");
      const [, , entries] = await client.call("XCONSUME", "client-events", "group", "consumer");
      assert.equal(entries.length, 3);
    });
  });
}
