// One call while it goes on: what is new is put in its place; what was there stays, so that nothing jumps and a
// screen reader says each line once.

import { localise, tick } from "./times.js";
import { watch } from "./watch.js";

const POLL_MS = 1000;
const now = document.getElementById("now");

function merge(fresh) {
  const facts = document.getElementById("facts");
  const newFacts = fresh.getElementById("facts");
  localise(newFacts);
  facts.replaceWith(newFacts);
  const story = document.getElementById("story");
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
  let last = null;
  const wanted = [...fresh.getElementById("story").children];
  for (const line of wanted) {
    let there = line.id ? document.getElementById(line.id) : null;
    if (!there) {
      there = line;
      if (last) last.after(there);
      else story.prepend(there);
    } else if (there.innerHTML !== line.innerHTML) {
      there.innerHTML = line.innerHTML;
    }
    last = there;
  }
  const ids = new Set(wanted.map((line) => line.id));
  for (const line of [...story.children]) if (!ids.has(line.id)) line.remove();
  if (atEnd) scrollTo(0, document.documentElement.scrollHeight);
  tick();
  return newFacts.dataset.over === "true";
}

watch(now.dataset.url, async (answer) => {
  const over = merge(new DOMParser().parseFromString(await answer.text(), "text/html"));
  if (over) document.getElementById("orders")?.remove();
  return over ? null : POLL_MS;
});
