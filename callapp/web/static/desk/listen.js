// Listens to what the server tells by itself, while somebody looks. Where it does not come through, because
// something on the way keeps it back or the server has no room, the page is told so, and has to ask.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

const SILENT_MS = 8000; // the server says something every three seconds
const RETRY_MS = 60000;

/**
 * @param {string} url
 * @param {Object<string, (data: any) => void>} on what to do at an event of this name.
 * @param {(told: boolean) => void} change whether news come by themselves from now on; while they do not, the
 *   page is `untold`.
 * @returns {() => void} stops it.
 */
export function listen(url, on, change) {
  let source = null;
  let told = null; // not known yet
  let timer = 0;

  function say(is) {
    if (is === told) return;
    told = is;
    document.body.classList.toggle("untold", !told);
    change(told);
  }

  function open() {
    close();
    if (document.hidden) return;
    source = new EventSource(url);
    const names = { hello() {}, beat() {}, ...on };
    for (const [name, take] of Object.entries(names)) {
      source.addEventListener(name, ({ data }) => {
        later(giveUp, SILENT_MS);
        say(true);
        take(JSON.parse(data));
      });
    }
    source.onerror = () => {
      say(false);
      if (source.readyState === EventSource.CLOSED) giveUp(); // else it comes again by itself
    };
    later(giveUp, SILENT_MS);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function giveUp() {
    close();
    say(false);
    later(open, RETRY_MS);
  }

  function later(deed, ms) {
    clearTimeout(timer);
    timer = setTimeout(deed, ms);
  }

  function look() {
    if (document.hidden) {
      close(); // a browser has few connections to a server, and a page that nobody sees needs none
      say(false);
    } else open();
  }

  document.addEventListener("visibilitychange", look);
  open();
  return () => {
    close();
    document.removeEventListener("visibilitychange", look);
  };
}
