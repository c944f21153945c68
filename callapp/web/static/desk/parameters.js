// The fields for what an agent has to be told; which those are hangs on the agent that is chosen.

export class Parameters {
  /** @param {HTMLSelectElement} agent @param {HTMLElement} place where the fields go */
  constructor(agent, place) {
    this.place = place;
    this.values = JSON.parse(place.dataset.values ?? "{}");
    agent.addEventListener("change", () => this.show(agent));
    place.addEventListener("input", ({ target }) => (this.values[target.dataset.name] = target.value));
    this.show(agent);
  }

  show(agent) {
    const needs = agent.selectedOptions[0].dataset.needs.split(" ").filter(Boolean);
    const fields = needs.map((name) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      label.textContent = name;
      input.name = (this.place.dataset.prefix ?? "") + name;
      input.dataset.name = name;
      input.value = this.values[name] ?? "";
      input.required = true;
      input.autocomplete = "off";
      label.append(input);
      return label;
    });
    this.place.replaceChildren(...fields);
    this.place.hidden = !fields.length;
  }

  get inputs() {
    return [...this.place.querySelectorAll("input")];
  }

  /** What was filled in, by name. */
  get filled() {
    return Object.fromEntries(this.inputs.map((input) => [input.dataset.name, input.value]));
  }
}
