// Who is in a channel: a paged snapshot, kept current by diffs. Versions tell what is newer, so that pages and diffs
// may overlap in any way; after a skipped version the snapshot is taken anew. Where a server tells totals only (large
// rooms, many changes at once) the list is out of date and says so, until names are worth having again.

import { Backoff, type BackoffOptions } from "./backoff.js";
import type { Clock } from "./clock.js";
import type { ParlorError } from "./error.js";
import type { PresenceDiff } from "./protocol/push.js";
import type { Member, Members } from "./protocol/reply.js";

export interface RosterSource {
  readonly clock: Clock;
  readonly random: () => number;
  /** One page of the snapshot; undefined asks for the first. */
  page(cursor: string | undefined): Promise<Members>;
  changed(): void;
  failed(error: ParlorError): void;
}

interface Entry {
  readonly member: Member;
  /** The version at which the entry was known to be so. */
  readonly version: number;
}

export class Roster {
  readonly #source: RosterSource;
  readonly #backoff: Backoff;
  #entries = new Map<string, Entry>();
  #version = 0;
  #users = 0;
  #connections = 0;
  /** Diffs that arrived while a snapshot is taken; undefined while none is. */
  #held: PresenceDiff[] | undefined;
  #isLoaded = false;
  #isStale = false;
  #load = 0;
  /** Set while a snapshot is due later. */
  #stopLater: (() => void) | undefined;

  constructor(source: RosterSource) {
    this.#source = source;
    this.#backoff = new Backoff(source.random, RELOAD_BACKOFF);
  }

  /** Whether a snapshot has arrived; before it the roster is empty. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /**
   * Whether some came, changed or left without being named, since the server names nobody in a large room: `members` is
   * out of date, `users` and `connections` are right. {@link load} reads the list again; in a small room that happens by itself.
   */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** How many users are there: need not be as many as `members` while a snapshot is taken or the list {@link isStale}. */
  get users(): number {
    return this.#users;
  }

  get connections(): number {
    return this.#connections;
  }

  get members(): Member[] {
    return Array.from(this.#entries.values(), (entry) => entry.member);
  }

  member(user: string): Member | undefined {
    return this.#entries.get(user)?.member;
  }

  /** Takes a new snapshot; the old entries stay until it is complete. */
  load(): void {
    this.#cancelLater();
    void this.#takeSnapshot(++this.#load);
  }

  /** The subscription is gone: what still arrives of the snapshot is ignored. The entries stay, as last known. */
  stop(): void {
    this.#cancelLater();
    this.#load++;
    this.#held = undefined;
  }

  apply(diff: PresenceDiff): void {
    if (this.#held === undefined) {
      if (this.#merge(diff)) this.#source.changed();
    } else if (this.#held.length < HELD_MAX) {
      this.#held.push(diff);
    } else {
      this.load();
    }
  }

  async #takeSnapshot(load: number): Promise<void> {
    this.#held = [];
    const pages: Members[] = [];
    try {
      do {
        pages.push(await this.#source.page(pages.at(-1)?.next));
        if (load !== this.#load) return;
      } while (pages.at(-1)?.next !== undefined);
    } catch (error) {
      if (load === this.#load) this.#giveUp(error as ParlorError);
      return;
    }
    this.#replace(pages);
  }

  #giveUp(error: ParlorError): void {
    this.#held = undefined;
    // What only this side ran into, a timeout for one, may pass as well.
    if (error.isRetryable || error.code < 1000) this.#loadLater();
    this.#source.failed(error);
  }

  #replace(pages: readonly Members[]): void {
    this.#entries = new Map(
      pages.flatMap((page) => page.members.map((member) => [member.user, { member, version: page.version }])),
    );
    // Diffs above the first page's version may concern users on it, whatever later pages already know.
    this.#version = pages[0]?.version ?? 0;
    this.#count(pages.at(-1) ?? { users: 0, connections: 0 });
    this.#isLoaded = true;
    this.#isStale = false;
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const diff of held) this.apply(diff);
    this.#source.changed();
  }

  /** Whether the diff was news. One that has names and skips a version starts a new snapshot instead. */
  #merge(diff: PresenceDiff): boolean {
    if (!this.#isLoaded || diff.version <= this.#version) return false;
    const isNamed = hasNames(diff);
    if (isNamed && diff.version > this.#version + 1) {
      this.load();
      return false;
    }
    this.#version = diff.version;
    for (const member of [...(diff.joined ?? []), ...(diff.updated ?? [])]) this.#put(member, diff.version);
    for (const user of diff.left ?? []) this.#remove(user, diff.version);
    this.#count(diff);
    this.#isStale ||= !isNamed;
    if (!this.#isStale) this.#backoff.reset();
    else if (isNamed || diff.users <= SMALL_USERS_MAX) this.#loadLater();
    return true;
  }

  /** Not at once: all who hold this roster see at the same moment that it is worth reading again. */
  #loadLater(): void {
    this.#stopLater ??= this.#source.clock.after(this.#backoff.next(), () => this.load());
  }

  #cancelLater(): void {
    this.#stopLater?.();
    this.#stopLater = undefined;
  }

  #put(member: Member, version: number): void {
    const known = this.#entries.get(member.user);
    if (known === undefined || known.version < version) this.#entries.set(member.user, { member, version });
  }

  #remove(user: string, version: number): void {
    const known = this.#entries.get(user);
    if (known !== undefined && known.version < version) this.#entries.delete(user);
  }

  #count(totals: { readonly users: number; readonly connections: number }): void {
    this.#users = totals.users;
    this.#connections = totals.connections;
  }
}

const HELD_MAX = 10_000;
/** Servers name who comes and goes where no more users are, unless they are set otherwise or it is too much at once. */
const SMALL_USERS_MAX = 200;
/** Longer each time that the list was out of date again before anybody was named: a server may name nobody in smaller rooms, too. */
const RELOAD_BACKOFF: BackoffOptions = { baseMs: 4_000, capMs: 60_000 };

function hasNames({ joined = [], updated = [], left = [] }: PresenceDiff): boolean {
  return joined.length + updated.length + left.length > 0;
}
