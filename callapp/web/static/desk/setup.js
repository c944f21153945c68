// What takes seconds to find out comes when it is there.

const findings = document.getElementById("findings");
if (findings) {
  const show = (answer) => (answer.ok ? answer.text() : Promise.reject(answer.status));
  fetch(findings.dataset.url, { headers: { Accept: "text/html" } })
    .then(show)
    .then((html) => (findings.innerHTML = html))
    .catch(() => (findings.textContent = findings.dataset.failed))
    .finally(() => (findings.ariaBusy = "false"));
}
