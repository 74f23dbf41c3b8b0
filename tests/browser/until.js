// Waiting for a condition, not for a time.

const PATIENCE_MS = 60_000;

/** Looks again and again until `condition` gives something true, and returns that. */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
