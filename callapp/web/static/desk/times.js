// Times in the reader's own zone, and durations that grow.

export function localise(root = document) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    time.removeAttribute("data-local");
  }
}

/** Minutes and seconds since a moment. */
export function age(since) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function tick() {
  for (const time of document.querySelectorAll("[data-since]")) time.textContent = age(time.dataset.since);
}

localise();
// The days that are asked for are those that are shown.
for (const zone of document.querySelectorAll("[data-zone]")) zone.value = new Intl.DateTimeFormat().resolvedOptions().timeZone;
tick();
setInterval(tick, 1000);
