// The table of live calls. Rows stay what they are, and only what has changed in them is written.

import { setLevel } from "./levels.js";
import { listen } from "./listen.js";
import { age, tick } from "./times.js";
import { watch } from "./watch.js";

const $ = (id) => document.getElementById(id);
const words = $("words").dataset;
const rows = new Map();

function write(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

function newRow(call) {
  const row = $("row").content.firstElementChild.cloneNode(true);
  const link = row.querySelector("a");
  if (call.sid) link.href = `calls/${call.sid}`;
  write(link, call.who || words[call.direction]);
  write(row.querySelector(".direction"), call.who ? (words[call.direction] ?? call.direction) : "");
  for (const cell of row.querySelectorAll(".agent")) write(cell, call.agent);
  return row;
}

function show(call) {
  if (!rows.has(call.key)) {
    rows.set(call.key, newRow(call));
    $("calls").append(rows.get(call.key));
  }
  const row = rows.get(call.key);
  const time = row.querySelector(".time");
  if (time.dataset.since !== call.since) {
    time.dataset.since = call.since;
    write(time, age(call.since));
  }
  const said = call.words ? `${words[call.role]}: ${call.words}` : call.status === "in-progress" ? "" : (words[call.status] ?? call.status);
  write(row.querySelector(".said"), said);
  write(row.querySelector(".cost"), call.usd === null ? words.unknown : `$${call.usd.toFixed(4)}`);
}

function remove(key) {
  rows.get(key)?.remove();
  rows.delete(key);
}

function showAll(calls) {
  const there = new Set(calls.map((call) => call.key));
  for (const key of [...rows.keys()]) if (!there.has(key)) remove(key);
  calls.forEach(show);
  count();
}

function count() {
  write($("count"), String(rows.size));
  $("none").hidden = rows.size > 0;
  $("some").hidden = rows.size === 0;
}

const asking = watch(
  $("calls").dataset.url,
  async (answer) => {
    const { calls, pollMs } = await answer.json();
    showAll(calls);
    return pollMs;
  },
  (failed) => ($("fault").hidden = !failed),
  () => location.reload(), // to where one signs in
);

listen(
  $("calls").dataset.events,
  {
    calls({ whole, calls, gone }) {
      if (whole) return showAll(calls);
      calls.forEach(show);
      gone.forEach(remove);
      count();
    },
    levels(levels) {
      for (const [key, both] of Object.entries(levels)) {
        const meters = rows.get(key)?.querySelectorAll(".meter") ?? [];
        meters.forEach((meter, side) => setLevel(meter, Number(both[side])));
      }
    },
  },
  asking.rest,
);
tick();
