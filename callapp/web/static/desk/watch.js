// Asks for what is new, again and again, while somebody looks. What has not changed costs a 304.

const RETRY_MS = 4000;
export const PATIENCE_MS = 10000; // a server that hangs, or is behind a network that is gone, says nothing for minutes

/**
 * @param {string} url
 * @param {(answer: Response) => Promise<number | null>} take gets what is new; returns how long to wait for the
 *   next, in ms, or null to stop.
 * @param {(failed: boolean) => void} tell is told when the server does not answer, and when it does again.
 * @param {Function} turnedAway is called when the session is over, or there is no such thing; then it is asked on, for
 *   there may be one.
 * @returns {{look: Function, rest: (resting: boolean) => void, stop: Function}} `look` asks at once; while it
 *   rests, nothing is asked by itself.
 */
export function watch(url, take, tell = () => {}, turnedAway = () => {}) {
  let timer = 0;
  let waitMs = 0;
  let known = null;
  let resting = false;
  let failed = false;
  let over = false;
  let looking = false;
  let again = false;

  async function look() {
    clearTimeout(timer);
    if (over || looking) {
      again = looking;
      return;
    }
    looking = true;
    again = failed = false;
    try {
      const headers = known ? { "If-None-Match": known } : {};
      const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (over) return;
      if (answer.redirected || answer.status === 404) {
        turnedAway(); // a redirect is one to the sign-in page
        throw new Error("turned away");
      }
      if (answer.ok) {
        waitMs = await take(answer);
        known = answer.headers.get("ETag");
      } else if (answer.status !== 304) throw new Error(String(answer.status));
      tell(false);
    } catch {
      tell(true);
      failed = true;
    }
    looking = false;
    over ||= waitMs === null;
    next();
  }

  function next() {
    clearTimeout(timer);
    if (over || document.hidden) return;
    if (again) look();
    else if (failed || !resting) timer = setTimeout(look, failed ? RETRY_MS : waitMs);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
  look();
  return {
    look,
    rest(wanted) {
      resting = wanted;
      if (!wanted) known = null; // the page may show what it was told meanwhile
      if (!looking) next();
    },
    stop() {
      over = true;
      clearTimeout(timer);
    },
  };
}
