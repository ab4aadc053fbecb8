/** What a stream answers about its entries, its groups and itself. */

/** What JSON.stringify makes of an entry: JSON has no bigint. */
export interface EntryJson<T = any> {
  seq: number;
  data: T;
  timestamp: string;
}

/** An entry of a stream. */
export class StreamEntry<T = any> {
  readonly seq: bigint;
  readonly data: T;
  readonly timestamp: Date;

  constructor(seq: number, ms: number, data: T) {
    this.seq = BigInt(seq);
    this.data = data;
    this.timestamp = new Date(ms);
  }

  /** For JSON.stringify. */
  toJSON(): EntryJson<T> {
    return { seq: Number(this.seq), data: this.data, timestamp: this.timestamp.toISOString() };
  }
}

/** An entry as a handler gets it. */
export class StreamMessage<T = any> extends StreamEntry<T> {
  /** 1 the first time. */
  readonly attempts: number;

  constructor(seq: number, ms: number, data: T, attempts: number) {
    super(seq, ms, data);
    this.attempts = attempts;
  }

  /** For JSON.stringify. */
  override toJSON(): EntryJson<T> & { attempts: number } {
    return { ...super.toJSON(), attempts: this.attempts };
  }
}

/** Offsets are bigint, which JSON has not: numbers, which hold every offset that there will be. */
function withNumbers(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]),
  );
}

/** What a stream holds and keeps. */
export class StreamInfo {
  readonly first: bigint;
  /** The offset that the next entry gets. */
  readonly next: bigint;
  readonly entries: number;
  readonly bytes: number;
  readonly groups: number;
  readonly maxAgeMs: number;
  readonly maxBytes: number;

  constructor(stat: Record<string, unknown>) {
    this.first = BigInt((stat.first as number) ?? 1);
    this.next = BigInt((stat.next as number) ?? 1);
    this.entries = Number(stat.entries);
    this.bytes = Number(stat.bytes);
    this.groups = Number(stat.groups);
    this.maxAgeMs = Number(stat.maxage);
    this.maxBytes = Number(stat.maxbytes);
  }

  /** For JSON.stringify. */
  toJSON(): Record<string, unknown> {
    return withNumbers(this);
  }
}

/** How far a group is. */
export class GroupInfo {
  readonly name: string;
  /** The entry that is delivered next. */
  readonly next: bigint;
  /** Entries that it has still to see. */
  readonly lag: number;
  /** Entries that are delivered and not acknowledged. */
  readonly pending: number;
  /** Entries that failed for good and wait for somebody to look at them. */
  readonly parked: number;
  /** Entries that retention took away before the group had seen them. */
  readonly skipped: number;
  /** Consumers that hold entries. */
  readonly consumers: number;
  /** Consumers that wait for entries. */
  readonly waiters: number;
  /** Counts the seeks: acknowledgements of an older epoch mean nothing. */
  readonly epoch: number;

  constructor(name: string, stat: Record<string, unknown>) {
    this.name = name;
    this.next = BigInt((stat.next as number) ?? 1);
    this.lag = Number(stat.lag);
    this.pending = Number(stat.pending);
    this.parked = Number(stat.parked);
    this.skipped = Number(stat.skipped);
    this.consumers = Number(stat.consumers);
    this.waiters = Number(stat.waiters);
    this.epoch = Number(stat.epoch);
  }

  /** For JSON.stringify. */
  toJSON(): Record<string, unknown> {
    return withNumbers(this);
  }
}

/** Which offsets the entries of appendMany() got. */
export class AppendedRange {
  readonly first: bigint;
  readonly last: bigint;

  constructor(first: number, last: number) {
    this.first = BigInt(first);
    this.last = BigInt(last);
  }

  /** For JSON.stringify. */
  toJSON(): Record<string, unknown> {
    return withNumbers(this);
  }
}
