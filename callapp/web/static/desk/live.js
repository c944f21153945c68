// The table of live calls. Rows stay what they are, and only what has changed in them is written.

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
  write(row.querySelector("small"), words[call.direction] ?? call.direction);
  write(row.querySelector(".agent"), call.agent);
  return row;
}

function show(call) {
  const key = call.sid ?? call.since;
  if (!rows.has(key)) {
    rows.set(key, newRow(call));
    $("calls").append(rows.get(key));
  }
  const row = rows.get(key);
  const time = row.querySelector(".time");
  if (time.dataset.since !== call.since) {
    time.dataset.since = call.since;
    write(time, age(call.since));
  }
  const said = call.words ? `${words[call.role]}: ${call.words}` : call.status === "in-progress" ? "" : call.status;
  write(row.querySelector(".said"), said);
  write(row.querySelector(".cost"), call.usd === null ? words.unknown : `$${call.usd.toFixed(4)}`);
  return key;
}

watch(
  $("calls").dataset.url,
  async (answer) => {
    const { calls, pollMs } = await answer.json();
    const there = new Set(calls.map(show));
    for (const [key, row] of rows) {
      if (!there.has(key)) {
        row.remove();
        rows.delete(key);
      }
    }
    write($("count"), String(calls.length));
    $("none").hidden = calls.length > 0;
    $("some").hidden = calls.length === 0;
    return pollMs;
  },
  (failed) => ($("fault").hidden = !failed),
);
tick();
