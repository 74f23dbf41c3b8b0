// Reading a channel's log page by page, each page beginning where the one before ended.

import { ParlorError } from "./error.js";
import type { Direction, History } from "./protocol/command.js";
import type { Time, WireEvent } from "./protocol/event.js";
import type { Page } from "./protocol/reply.js";

export interface HistoryQuery {
  /** `backward` (default) goes from new to old; events come in that order. */
  readonly direction?: Direction;
  /** Exclusive: start below (backward) or above (forward) this offset. */
  readonly offset?: number;
  /** Exclusive: start before (backward) or after (forward) this time. */
  readonly time?: Time;
  /** Events per page; the server clamps it. */
  readonly limit?: number;
}

/**
 * The pages in the query's direction until there is no more.
 * @throws ParlorError `log_changed` when the log began a new life between two pages.
 */
export async function* historyPages(
  channel: string,
  query: HistoryQuery,
  ask: (body: History) => Promise<Page>,
): AsyncGenerator<Page, void, void> {
  let page = await ask({ ...query, channel });
  const { epoch } = page;
  for (;;) {
    yield page;
    const offset = lastOffset(page.events);
    if (!page.more || offset === undefined) return;
    page = await ask({ channel, direction: query.direction, limit: query.limit, offset });
    if (page.epoch !== epoch) throw ParlorError.local("log_changed", "unable to read on; the log began a new life");
  }
}

function lastOffset(events: readonly WireEvent[]): number | undefined {
  return events.at(-1)?.offset;
}
