// What a subscriber of a channel can receive, as every codec hands it out.

/** Server time: 100 ns ticks since the Unix epoch, as a decimal string (it exceeds 2^53). */
export type Time = string;

/** One event, in pushes and in history. Unknown kinds still advance the position. */
export interface WireEvent {
  /** `message`, `signal`, `erase`, or a kind that this version does not know. */
  readonly kind: string;
  /** Dense per channel over its logged events, from 1. Absent on signals. */
  readonly offset?: number;
  /** Counts only messages, from 1. Absent on everything else. */
  readonly seq?: number;
  /** What to resume from after this event: opaque. Absent on signals. */
  readonly position?: string;
  readonly time: Time;
  /** The id that the publisher chose. */
  readonly id?: string;
  /** The user who published; absent when a backend did. */
  readonly user?: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** A JSON value, or bytes where the publisher sent bytes. Absent in one's own copy without echo, and in what was erased. */
  readonly data?: unknown;
  /** True only in the publisher's own copy, when it asked for no echo. */
  readonly own?: boolean;
  /** What it said was erased for good: only its place is left. */
  readonly erased?: boolean;
}

/** The data of an event of kind `erase`. */
export interface Erasure {
  /** Earlier events of the channel that hold nothing any more: what one shows or keeps of them is to be removed. */
  readonly offsets: readonly number[];
}

/** The moment that a server time names, to the millisecond. */
export function timeToDate(time: Time): Date {
  return new Date(Number(BigInt(time) / 10_000n));
}
