// What happens on a call, as it happens: what is new is put in its place; what was there stays, so that nothing
// jumps and a screen reader says each line once.

import { setLevel } from "./levels.js";
import { listen } from "./listen.js";
import { localise, tick } from "./times.js";
import { watch } from "./watch.js";

const POLL_MS = 1000;

/**
 * Keep a piece of the page up to date until the call is over.
 * @param {HTMLElement} now holds the facts and the story, or nothing yet.
 * @param {string} url of the newest state of it; when there is one is told at `events` beside it.
 * @param {{follows?: boolean, over?: Function, tell?: Function, turnedAway?: Function}} options `follows`: scroll along
 *   with what is said; `tell`, `turnedAway`: see `watch`.
 * @returns {() => void} stops it.
 */
export function follow(now, url, { follows = false, over = () => {}, tell, turnedAway } = {}) {
  const take = async (answer) => {
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    localise(fresh);
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
    const isOver = fresh.getElementById("facts").dataset.over === "true";
    if (now.firstElementChild) merge(fresh);
    else now.replaceChildren(...fresh.body.children);
    if (follows && atEnd) scrollTo(0, document.documentElement.scrollHeight);
    tick();
    if (isOver) {
      unlisten();
      over();
    }
    return isOver ? null : POLL_MS;
  };
  const asking = watch(url, take, tell, turnedAway);
  const unlisten = listen(
    url.replace(/now$/, "events"),
    {
      changed: () => asking.look(),
      levels: (both) => meters(both),
    },
    (told) => {
      asking.rest(told);
      if (!told) meters([0, 0]);
    },
  );
  return () => {
    asking.stop();
    unlisten();
  };
}

/** The levels of the caller and of the agent, where the page shows them. */
function meters(both) {
  document.querySelectorAll("#levels .meter").forEach((meter, side) => setLevel(meter, both[side]));
}

function merge(fresh) {
  document.getElementById("facts").replaceWith(fresh.getElementById("facts"));
  const story = document.getElementById("story");
  const wanted = [...fresh.getElementById("story").children];
  const ids = new Set(wanted.map((line) => line.id));
  for (const line of [...story.children]) if (!ids.has(line.id)) line.remove();
  let place = story.firstElementChild; // of the next line
  for (const line of wanted) {
    const there = document.getElementById(line.id) ?? line;
    if (there.innerHTML !== line.innerHTML) there.innerHTML = line.innerHTML;
    // What took long is told late and belongs further up, so lines that were there may have changed places.
    if (there === place) place = place.nextElementSibling;
    else story.insertBefore(there, place);
  }
}
