/** Every error of this SDK. `code` is the server's code word, or one of the SDK's own. */
export class NexoError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The connection ended while a call was under way: whether the server has done it is not known. */
export class ConnectionClosedError extends NexoError {
  constructor(message = 'the connection closed before the answer came', options?: ErrorOptions) {
    super('CONNECTION_CLOSED', message, options);
  }
}

/** There is no connection now: the call was not sent. */
export class NotConnectedError extends NexoError {
  constructor(message = 'not connected', options?: ErrorOptions) {
    super('NOT_CONNECTED', message, options);
  }
}

/** No answer came in time: whether the server has done it is not known. */
export class RequestTimeoutError extends NexoError {
  constructor(command: string, milliseconds: number) {
    super('REQUEST_TIMEOUT', `${command} had no answer within ${milliseconds} ms`);
  }
}

/** What was named does not exist. */
export class NotFoundError extends NexoError {}

/** An argument, or a message that does not fit its schema. */
export class ValidationError extends NexoError {
  /** The problems that the schema found. */
  readonly issues: readonly unknown[];
  constructor(message: string, issues: readonly unknown[] = []) {
    super('VALIDATION', message);
    this.issues = issues;
  }
}

/** The server refused the call. */
export class ServerError extends NexoError {}

const missing = new Set(['NOQUEUE', 'NOSTREAM', 'NOGROUP']);

/** Turns an error reply into an error of this SDK. */
export function fromReply(message: string): NexoError {
  const code = /^[A-Z][A-Z0-9]*/.exec(message)?.[0] ?? 'ERR';
  return missing.has(code) ? new NotFoundError(code, message) : new ServerError(code, message);
}

/** Whether the server, or the way to it, is not there now. Whether what was sent was done is not known, or it was not. */
export function isAway(error: unknown): boolean {
  return (
    error instanceof ConnectionClosedError ||
    error instanceof NotConnectedError ||
    error instanceof RequestTimeoutError ||
    (error instanceof ServerError && error.code === 'LOADING')
  );
}
