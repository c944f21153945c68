// A form that is sent again while the server has not answered, by a second press of its button, would do the same
// thing twice: have a phone ring, or a model told.

const sent = new Set();

document.addEventListener("submit", (event) => {
  if (!("once" in event.target.dataset)) return;
  if (sent.has(event.target)) event.preventDefault();
  sent.add(event.target);
});
addEventListener("pageshow", () => sent.clear()); // who comes back to a page may do it again
