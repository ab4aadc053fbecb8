import { randomUUID } from 'node:crypto';
import type { NexoConnection } from './connection.js';
import { Batch, type Source, settle, waitLimitMs } from './consumer.js';
import type { NexoError } from './errors.js';
import { milliseconds } from './options.js';
import { reasonOf } from './thrown.js';

export type RawDelivery = [offset: number, ms: number, deliveries: number, payload: Buffer];

/** An entry as it was fetched. */
export interface HeldEntry {
  raw: RawDelivery;
  epoch: number;
}

/** Whose member somebody is, and how long it may keep entries; 0 is for ever. */
export interface Membership {
  stream: string;
  group: string;
  ackWaitMs: number;
  waitMs: number;
}

function offsets(list: readonly HeldEntry[]): string[] {
  return list.map(({ raw }) => String(raw[0]));
}

/** A member of a group: gets entries, acknowledges them or gives them back. */
export class Member implements Source<HeldEntry> {
  readonly #connection: NexoConnection;
  readonly #of: Membership;
  readonly #wait: string;
  readonly #name: string;
  readonly #handle: (entry: HeldEntry, handled: () => void) => Promise<void>;
  readonly #acks: Batch<HeldEntry, undefined>;
  /**
   * The epochs of the entries that wait here, are being handled or acknowledged: one may come again meanwhile. After a seek it is
   * another one.
   */
  readonly #held = new Map<number, number>();

  constructor(
    connection: NexoConnection,
    membership: Membership,
    handle: (member: Member, entry: HeldEntry, handled: () => void) => Promise<void>,
  ) {
    this.#connection = connection;
    this.#of = membership;
    this.#wait = milliseconds('waitMs', membership.waitMs);
    this.#name = `${connection.options.name ?? 'nexo'}-${randomUUID()}`;
    this.#handle = (entry, handled) => handle(this, entry, handled);
    this.#acks = new Batch((list) => this.#acknowledge(list));
  }

  async fetch(own: NexoConnection, count: number): Promise<HeldEntry[]> {
    const { stream, group, waitMs } = this.#of;
    const args = ['XCONSUME', stream, group, this.#name, 'COUNT', String(count), 'BLOCK', this.#wait];
    const timeoutMs = waitLimitMs(this.#connection, waitMs);
    const [epoch, , entries] = await own.send<[number, number, RawDelivery[]]>(args, { timeoutMs });
    const fresh = entries.filter(([offset]) => this.#held.get(offset) !== epoch);
    for (const [offset] of fresh) this.#held.set(offset, epoch);
    return fresh.map((raw) => ({ raw, epoch }));
  }

  async handle(entry: HeldEntry, handled: () => void): Promise<void> {
    try {
      await this.#handle(entry, handled);
    } finally {
      this.lost([entry]);
    }
  }

  async release(list: readonly HeldEntry[]): Promise<void> {
    this.lost(list);
    const { stream, group } = this.#of;
    await this.#connection.send(['XNACK', stream, group, 'SILENT', 'IDS', String(list.length), ...offsets(list)]);
  }

  lost(list: readonly HeldEntry[]): void {
    for (const { raw, epoch } of list) {
      if (this.#held.get(raw[0]) === epoch) this.#held.delete(raw[0]);
    }
  }

  async reconnected(own: NexoConnection): Promise<void> {
    const { stream, group } = this.#of;
    await own.send(['XLEAVE', stream, group, this.#name]);
  }

  async renew(list: readonly HeldEntry[]): Promise<void> {
    const { stream, group, ackWaitMs } = this.#of;
    await this.#connection.send(['XEXTEND', stream, group, String(ackWaitMs), ...offsets(list)]);
  }

  /** The entry is done. Those of one turn of the event loop are acknowledged with one command. */
  acknowledge(entry: HeldEntry): Promise<undefined> {
    return this.#acks.add(entry);
  }

  async #acknowledge(list: readonly HeldEntry[]): Promise<undefined[]> {
    const { stream, group } = this.#of;
    for (const epoch of new Set(list.map((held) => held.epoch))) {
      const same = list.filter((held) => held.epoch === epoch);
      // After a seek the acknowledgements of what came before it mean nothing any more.
      const args = ['XACK', stream, group, ...offsets(same), 'EPOCH', String(epoch)];
      await settle(this.#connection, () => this.#connection.send(args)).catch((error: NexoError) => {
        if (error.code !== 'FENCED') throw error;
      });
    }
    return list.map(() => undefined);
  }

  /** The entry comes again later, or is parked when trying again cannot help. */
  async fail({ raw: [offset, , deliveries] }: HeldEntry, failure: Error, fatal: boolean): Promise<void> {
    const { stream, group } = this.#of;
    const args = ['XNACK', stream, group, fatal ? 'FATAL' : 'FAIL', 'IDS', '1', String(offset), 'REASON', reasonOf(failure)];
    if (!fatal) args.push('DELAY', String(Math.min(30_000, 200 * 2 ** deliveries)));
    // Sent twice it would count twice: so it waits for a connection, and is not repeated.
    await this.#connection.connected();
    await this.#connection.send(args);
  }
}
