/**
 * OpenTelemetry for the client: `NexoClient.connect({ telemetry: openTelemetry() })`. A module of its own, because it needs
 * `@opentelemetry/api`, which the client does not.
 */
import {
  type Attributes,
  context,
  type Link,
  type MeterProvider,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import type { CallBegin, CallEnd, MessageBegin, NexoTelemetry } from './options.js';

export interface OpenTelemetryOptions {
  /** Default the global one. */
  tracerProvider?: TracerProvider;
  /** Default the global one. */
  meterProvider?: MeterProvider;
  /**
   * Where a message keeps what `propagation.inject()` wrote, when the application has put it there: its span is linked to
   * the producer's. The client itself carries nothing from producer to consumer.
   */
  carrier?: (message: MessageBegin) => Record<string, string> | undefined;
}

const scope = '@nexobroker/client';

/** How many messages the commands send that send some. */
const sends: Record<string, (args: CallBegin['args']) => number> = {
  NPUB: () => 1,
  QPUSH: () => 1,
  QMPUSH: (args) => Number(args[2]),
  XAPPEND: () => 1,
  XMAPPEND: (args) => Number(args[2]),
};

/** Calls that wait for messages. Their time tells nothing about the server, and they belong to no span. */
const waits = new Set(['QPOP', 'XCONSUME', 'XFETCH']);

/**
 * Makes spans and metrics of what a client does: a producer span for each `push`, `add`, `append` and `publish`, a client span
 * for any other call within a span, and for each attempt of a handler a consumer span, the root of a trace of its own, which
 * is active while the handler runs. Names and attributes are those of the semantic conventions; payloads and keys are not
 * recorded.
 */
export function openTelemetry(o: OpenTelemetryOptions = {}): NexoTelemetry {
  const tracer = (o.tracerProvider ?? trace).getTracer(scope);
  const meter = (o.meterProvider ?? metrics).getMeter(scope);
  const callDuration = meter.createHistogram('db.client.operation.duration', {
    description: 'Duration of calls, those that wait for messages excepted',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] },
  });
  const sent = meter.createCounter('messaging.client.sent.messages', { description: 'Messages sent', unit: '{message}' });
  const consumed = meter.createCounter('messaging.client.consumed.messages', {
    description: 'Messages given to handlers',
    unit: '{message}',
  });
  const handlerDuration = meter.createHistogram('messaging.process.duration', {
    description: 'Duration of handlers, with what settles the message',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  });

  const call = (begin: CallBegin): ((end: CallEnd) => void) | undefined => {
    const { command, args } = begin;
    if (waits.has(command) && args.includes('BLOCK')) {
      return undefined;
    }
    const server = serverOf(begin);
    const count = sends[command]?.(args);
    const sending = count === undefined ? undefined : messaging('send', String(args[1]), server);
    const database = { 'db.system.name': 'nexo', 'db.operation.name': command, ...server };
    let span: Span | undefined;
    if (sending !== undefined) {
      const batch = command === 'QMPUSH' || command === 'XMAPPEND' ? { 'messaging.batch.message_count': count } : {};
      span = tracer.startSpan(`send ${args[1]}`, { kind: SpanKind.PRODUCER, attributes: { ...sending, ...batch } });
    } else if (trace.getActiveSpan() !== undefined) {
      span = tracer.startSpan(command, { kind: SpanKind.CLIENT, attributes: database });
    }
    return ({ milliseconds, error, reply }) => {
      const failed = errorOf(error);
      callDuration.record(milliseconds / 1000, { ...database, ...failed });
      if (sending !== undefined) {
        sent.add(count as number, { ...sending, ...failed });
      }
      const id = error === undefined ? idOf(command, reply) : undefined;
      if (id !== undefined) span?.setAttribute('messaging.message.id', id);
      end(span, error);
    };
  };

  const message = async (begin: MessageBegin, handle: () => Promise<{ milliseconds: number; error?: Error }>): Promise<void> => {
    const group = begin.group === undefined ? {} : { 'messaging.consumer.group.name': begin.group };
    const attributes = { ...messaging('process', begin.name, serverOf(begin)), ...group };
    const span = tracer.startSpan(
      `process ${begin.name}`,
      {
        kind: SpanKind.CONSUMER,
        root: true,
        links: producerOf(o.carrier?.(begin)),
        attributes: {
          ...attributes,
          'messaging.message.id': begin.id,
          'messaging.nexo.message.delivery_attempt': begin.attempt,
        },
      },
      ROOT_CONTEXT,
    );
    const { milliseconds, error } = await context.with(trace.setSpan(ROOT_CONTEXT, span), handle);
    const failed = errorOf(error);
    consumed.add(1, { ...attributes, ...failed });
    handlerDuration.record(milliseconds / 1000, { ...attributes, ...failed });
    end(span, error);
  };

  return { call, message };
}

function serverOf({ host, port }: { host: string; port: number }): Attributes {
  return { 'server.address': host, 'server.port': port };
}

function messaging(operation: 'send' | 'process', destination: string, server: Attributes): Attributes {
  return {
    'messaging.system': 'nexo',
    'messaging.operation.type': operation,
    'messaging.operation.name': operation,
    'messaging.destination.name': destination,
    ...server,
  };
}

/** The id that a job got, or the offset of an entry, which its consumer spans show, too. */
function idOf(command: string, reply: unknown): string | undefined {
  // With an id of the application the answer is a pair, whose second part tells whether it was known.
  return command === 'QPUSH' || command === 'XAPPEND' ? String(Array.isArray(reply) ? reply[0] : reply) : undefined;
}

function producerOf(carrier: Record<string, string> | undefined): Link[] {
  const producer = carrier === undefined ? undefined : trace.getSpanContext(propagation.extract(ROOT_CONTEXT, carrier));
  return producer === undefined ? [] : [{ context: producer }];
}

function errorOf(error: Error | undefined): Attributes {
  if (error === undefined) {
    return {};
  }
  const { code } = error as { code?: unknown };
  return { 'error.type': typeof code === 'string' ? code : error.name };
}

function end(span: Span | undefined, error: Error | undefined): void {
  if (error !== undefined) {
    span?.setAttributes(errorOf(error));
    span?.recordException(error);
    span?.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }
  span?.end();
}
