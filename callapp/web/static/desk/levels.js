// Meters of loudness: a bar for each side, as long as its level says.

const LOUDEST = 9;

/** @param {HTMLElement} meter its bar is its first child @param {number} level from 0 to 9 */
export function setLevel(meter, level) {
  meter.firstElementChild.style.transform = `scaleX(${level / LOUDEST})`;
  if (meter.role === "meter") meter.ariaValueNow = String(level);
}
