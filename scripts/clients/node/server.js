// The real server on a free port, with a data directory of its own; it can be stopped and started again on both.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rename, rm } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

function ping(port, wanted = "+PONG") {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.setTimeout(1000, () => socket.destroy());
    socket.on("data", (reply) => {
      resolve(reply.toString().startsWith(wanted));
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
  });
}

export class Server {
  static async start() {
    const server = new Server();
    server.port = await freePort();
    server.data = await mkdtemp(path.join(os.tmpdir(), "nexo-clients-"));
    await server.start();
    return server;
  }

  async start(wanted = "+PONG") {
    const binary = process.env.NEXO_BIN;
    if (!binary) throw new Error("NEXO_BIN must be the path of the nexo binary");
    this.output = "";
    this.process = spawn(binary, ["server", "--port", this.port, "--data", this.data]);
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (text) => (this.output = (this.output + text).slice(-10_000)));
    }
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; await delay(20)) {
      if (this.process.exitCode !== null) break;
      if (await ping(this.port, wanted)) return;
    }
    throw new Error(`the server did not start:\n${this.output}`);
  }

  async stop() {
    if (this.process.exitCode === null) {
      const exit = once(this.process, "exit");
      this.process.kill("SIGTERM");
      await exit;
    }
    if (this.process.exitCode !== 0) throw new Error(`the server ended with ${this.process.exitCode}:\n${this.output}`);
  }

  // Starts again, and calls meanwhile while the server is loading its logs: it waits, because a file of one of them is a pipe
  // that nobody has written to yet.
  async restart(meanwhile) {
    await this.stop();
    const manifest = path.join(this.data, "stream", "MANIFEST");
    const content = await readFile(manifest);
    await rename(manifest, `${manifest}.kept`);
    execFileSync("mkfifo", [manifest]);
    await this.start("-LOADING ");
    await meanwhile();
    const pipe = await open(manifest, "r+");
    await rename(`${manifest}.kept`, manifest);
    await pipe.write(content);
    await pipe.close();
    for (const deadline = Date.now() + 10_000; !(await ping(this.port)); await delay(20)) {
      if (Date.now() > deadline) throw new Error(`the server did not end loading:\n${this.output}`);
    }
  }

  async remove() {
    await this.stop();
    await rm(this.data, { recursive: true });
  }
}
