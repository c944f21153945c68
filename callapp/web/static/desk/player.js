// A recording with its wave form; the words follow it, and lead to their place in it.

const player = document.getElementById("player");
const audio = player.querySelector("audio");
const wave = document.getElementById("wave");
const times = [...document.querySelectorAll("#story [data-at]")];
const words = times.filter((time) => time.closest("li").classList.contains("said"));

function goTo(seconds) {
  audio.currentTime = seconds;
  audio.play();
}

function follow() {
  const playhead = document.getElementById("playhead");
  const atMs = audio.currentTime * 1000;
  if (playhead && audio.duration) {
    const x = (audio.currentTime / audio.duration) * playhead.ownerSVGElement.viewBox.baseVal.width;
    playhead.setAttribute("x1", x);
    playhead.setAttribute("x2", x);
  }
  const now = words.findLast((time) => Number(time.dataset.at) <= atMs);
  for (const time of words) time.closest("li").toggleAttribute("data-now", time === now);
}

for (const time of times) time.addEventListener("click", () => goTo(Number(time.dataset.at) / 1000));
audio.addEventListener("timeupdate", follow);
wave.addEventListener("click", ({ clientX }) => {
  const { left, width } = wave.getBoundingClientRect();
  if (audio.duration) goTo(((clientX - left) / width) * audio.duration);
});
fetch(player.dataset.wave)
  .then((answer) => (answer.ok ? answer.text() : ""))
  .then((svg) => (wave.innerHTML = svg));
