// Tells when a browser comes back online or to the foreground. On other platforms it never tells.

/** Calls `task` on each such moment, until the returned function is called. */
export function onWake(task: () => void): () => void {
  if (typeof window === "undefined" || typeof document === "undefined") return () => {};
  const whenVisible = () => {
    if (document.visibilityState === "visible") task();
  };
  window.addEventListener("online", task);
  document.addEventListener("visibilitychange", whenVisible);
  return () => {
    window.removeEventListener("online", task);
    document.removeEventListener("visibilitychange", whenVisible);
  };
}
