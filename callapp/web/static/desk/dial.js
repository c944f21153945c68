// The form of a call is checked while it is filled in, by the checks that hold when it is sent.

import "./once.js";
import { Parameters } from "./parameters.js";

const PAUSE_MS = 300;
const form = document.getElementById("dial");
const told = document.getElementById("check");
new Parameters(document.getElementById("agent"), document.getElementById("parameters"));

let timer = 0;
let newest = 0;

async function check() {
  const number = ++newest;
  const answer = await fetch(form.dataset.check, { method: "POST", body: new FormData(form) });
  if (!answer.ok || number !== newest) return;
  const { fault } = await answer.json();
  told.textContent = fault ?? "";
  told.classList.toggle("fault", Boolean(fault));
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => check().catch(() => {}), PAUSE_MS);
});
