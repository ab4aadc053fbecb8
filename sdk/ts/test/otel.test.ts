import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NexoClient } from '../src/index.js';
import { openTelemetry } from '../src/otel.js';
import { TestServer, until } from './server.js';

let server: TestServer;
let client: NexoClient;
let number = 0;
let name: string;

const spans = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
const tracer = tracerProvider.getTracer('the application');
const points = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter: points, exportIntervalMillis: 3_600_000 });
const meterProvider = new MeterProvider({ readers: [reader] });

beforeAll(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  server = await TestServer.start();
});
beforeEach(async () => {
  spans.reset();
  name = `n${++number}`;
  client = await server.connect({
    telemetry: openTelemetry({
      tracerProvider,
      meterProvider,
      carrier: ({ data }) => (data as { trace?: Record<string, string> } | undefined)?.trace,
    }),
  });
});
afterEach(() => client.close());
afterAll(async () => {
  await server.stop();
  await meterProvider.shutdown();
  context.disable();
  propagation.disable();
});

const finished = (): Map<string, ReadableSpan> => new Map(spans.getFinishedSpans().map((span) => [span.name, span]));
const at = () => ({ 'server.address': '127.0.0.1', 'server.port': server.port });

/** Runs something within a span of the application, and answers the span's id. */
async function within(run: () => Promise<unknown>): Promise<string> {
  return tracer.startActiveSpan('request', async (span) => {
    await run();
    span.end();
    return span.spanContext().spanId;
  });
}

describe('spans', () => {
  it('of producers name the queue, stream or topic, and the id', async () => {
    let id = '';
    const request = await within(async () => {
      id = await client.queue(name).add('job');
      await client.queue(`${name}-batch`).addMany([1, 2, 3]);
      await client.queue(`${name}-once`).add('job', { jobId: 'k' });
      await client.stream(`${name}-log`).append('entry');
      await client.pubsub(`${name}/topic`).publish('message');
    });
    const sent = finished();
    expect(sent.get(`send ${name}`)).toMatchObject({
      kind: SpanKind.PRODUCER,
      parentSpanContext: { spanId: request },
      status: { code: SpanStatusCode.UNSET },
      attributes: {
        'messaging.system': 'nexo',
        'messaging.operation.type': 'send',
        'messaging.destination.name': name,
        'messaging.message.id': id,
        ...at(),
      },
    });
    expect(sent.get(`send ${name}-batch`)?.attributes).toMatchObject({ 'messaging.batch.message_count': 3 });
    expect(sent.get(`send ${name}-once`)?.attributes['messaging.message.id']).toMatch(/^\d+$/);
    expect(sent.get(`send ${name}-log`)?.attributes['messaging.message.id']).toBe('1');
    expect(sent.get(`send ${name}/topic`)?.attributes['messaging.message.id']).toBe(undefined);
  });

  it('of other calls are made within a span, and hold no keys and values', async () => {
    await client.store.map.set('secret', 'secret');
    expect(spans.getFinishedSpans()).toEqual([]);
    const request = await within(async () => {
      await client.store.map.set('secret', 'secret');
      await client.command(['NOSUCH']).catch(() => undefined);
    });
    const calls = finished();
    expect(calls.get('NSET')).toMatchObject({
      kind: SpanKind.CLIENT,
      parentSpanContext: { spanId: request },
      attributes: { 'db.system.name': 'nexo', 'db.operation.name': 'NSET', ...at() },
    });
    expect(JSON.stringify(calls.get('NSET')?.attributes)).not.toContain('secret');
    expect(calls.get('NOSUCH')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'ERR' },
      events: [{ name: 'exception' }],
    });
  });

  it('of handlers are one for each attempt, each the root of a trace, and active meanwhile', async () => {
    const queue = await client.queue<number>(name).create({ backoff: 'none' });
    let subscription: { stop(): Promise<void> } | undefined;
    let id = '';
    await within(async () => {
      id = await queue.add(1);
      subscription = await queue.subscribe(async (_, message) => {
        await client.store.map.set('k', message.attempts);
        if (message.attempts === 1) throw new TypeError('of the handler');
      });
    });
    await until('the second attempt', () => spans.getFinishedSpans().filter((s) => s.name === `process ${name}`).length === 2);
    await subscription?.stop();
    const [first, second] = spans.getFinishedSpans().filter((span) => span.name === `process ${name}`);
    expect(first).toMatchObject({
      kind: SpanKind.CONSUMER,
      parentSpanContext: undefined,
      links: [],
      status: { code: SpanStatusCode.ERROR, message: 'of the handler' },
      attributes: {
        'messaging.operation.type': 'process',
        'messaging.destination.name': name,
        'messaging.message.id': id,
        'messaging.nexo.message.delivery_attempt': 1,
        'error.type': 'TypeError',
      },
    });
    expect(second).toMatchObject({
      parentSpanContext: undefined,
      status: { code: SpanStatusCode.UNSET },
      attributes: { 'messaging.message.id': id, 'messaging.nexo.message.delivery_attempt': 2 },
    });
    expect(second?.spanContext().traceId).not.toBe(first?.spanContext().traceId);
    const parents = spans.getFinishedSpans().flatMap((span) => (span.name === 'NSET' ? [span.parentSpanContext?.spanId] : []));
    expect(parents).toEqual([first?.spanContext().spanId, second?.spanContext().spanId]);
    expect(spans.getFinishedSpans().map((span) => span.name)).not.toContain('QPOP');
  });

  it('of handlers are linked to a producer that put its context into the message', async () => {
    const stream = client.stream<{ n: number; trace?: Record<string, string> }>(name);
    await within(async () => {
      const trace: Record<string, string> = {};
      propagation.inject(context.active(), trace);
      await stream.publish({ n: 1, trace });
    });
    await stream.publish({ n: 2 });
    const active: (string | undefined)[] = [];
    const subscription = await stream.subscribe('g', () => active.push(trace.getActiveSpan()?.spanContext().spanId));
    await until('both', () => active.length === 2);
    await subscription.stop();
    const request = finished().get('request');
    const handlers = spans.getFinishedSpans().filter((span) => span.name === `process ${name}`);
    expect(handlers.map((span) => span.spanContext().spanId)).toEqual(active);
    expect(handlers.map((span) => span.links.map((link) => link.context.spanId))).toEqual([[request?.spanContext().spanId], []]);
    expect(handlers[0]?.attributes).toMatchObject({ 'messaging.consumer.group.name': 'g', 'messaging.message.id': '1' });
  });
});

it('counts and times calls, messages and handlers', async () => {
  const queue = client.queue<number>(name);
  await queue.addMany([1, 2, 3]);
  let handled = 0;
  const subscription = await queue.subscribe(() => void handled++);
  await until('all', () => handled === 3);
  await subscription.stop();
  await expect(client.command(['NOSUCHEITHER'])).rejects.toThrow();
  await reader.forceFlush();
  const metrics = new Map(
    points
      .getMetrics()
      .at(-1)
      ?.scopeMetrics[0]?.metrics.map((metric) => [metric.descriptor.name, metric.dataPoints]),
  );
  const point = (metric: string, key: string, value: string) =>
    metrics.get(metric)?.find(({ attributes }) => attributes[key] === value);
  expect(point('messaging.client.sent.messages', 'messaging.destination.name', name)?.value).toBe(3);
  expect(point('messaging.client.consumed.messages', 'messaging.destination.name', name)?.value).toBe(3);
  expect(point('messaging.process.duration', 'messaging.destination.name', name)?.value).toMatchObject({ count: 3 });
  expect(point('db.client.operation.duration', 'db.operation.name', 'NOSUCHEITHER')).toMatchObject({
    value: { count: 1 },
    attributes: { 'db.system.name': 'nexo', 'error.type': 'ERR', ...at() },
  });
  expect(point('db.client.operation.duration', 'db.operation.name', 'QMPUSH')).toBeDefined();
  expect(point('db.client.operation.duration', 'db.operation.name', 'QPOP')).toBe(undefined);
});
