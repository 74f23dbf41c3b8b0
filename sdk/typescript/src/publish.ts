// What can be said about a publish beside its data.

export interface PublishOptions {
  /** Unique per channel and sender: makes every retry safe. Default: a random one. */
  readonly id?: string;
  /** False: one's own copy comes without data. Default true. */
  readonly echo?: boolean;
  readonly tags?: Readonly<Record<string, string>>;
  /** How long to try, in ms, across reconnects; at most what the server remembers ids for. */
  readonly timeoutMs?: number;
}
