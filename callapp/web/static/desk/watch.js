// Asks for what is new, again and again, while somebody looks. What has not changed costs a 304.

const RETRY_MS = 4000;

/**
 * @param {string} url
 * @param {(answer: Response) => Promise<number | null>} take gets what is new; returns how long to wait for the
 *   next, in ms, or null to stop.
 * @param {(failed: boolean) => void} tell is told when the server does not answer, and when it does again.
 * @returns {() => void} stops it.
 */
export function watch(url, take, tell = () => {}) {
  let timer = 0;
  let waitMs = 0;
  let known = null;
  let stopped = false;

  async function look() {
    try {
      const headers = known ? { "If-None-Match": known } : {};
      const answer = await fetch(url, { headers, cache: "no-store" });
      if (stopped) return;
      if (answer.status !== 304 && !answer.ok) throw new Error(String(answer.status));
      if (answer.status !== 304) {
        waitMs = await take(answer);
        known = answer.headers.get("ETag");
      }
      tell(false);
    } catch {
      tell(true);
      waitMs = RETRY_MS;
    }
    if (!stopped && waitMs !== null && !document.hidden) timer = setTimeout(look, waitMs);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!stopped && !document.hidden && waitMs !== null) look();
  });
  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
