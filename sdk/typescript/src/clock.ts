// Time as an argument, so that tests can hold it still.

/** A monotonic clock with timers, and the time on the wall beside it. */
export interface Clock {
  /** Milliseconds from an arbitrary start; never goes back. May stand still while the machine sleeps, and the timers with it. */
  now(): number;
  /** Milliseconds since some date: goes on while the machine sleeps, but jumps when somebody sets it. */
  wallTime(): number;
  /** Runs `task` once after `ms`; the returned function cancels it. */
  after(ms: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
};
