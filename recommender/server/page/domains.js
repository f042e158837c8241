// Which catalogues of several the list is of: one of them, or all in turn.

import { byId, el, worded } from "./dom.js";
import { about, changes, chosenDomain, switchDomain } from "./state.js";

/** Show the switch where the catalogue is of several, and keep it as it should be. */
export function startDomains() {
  const show = () => {
    const choices = [...about.domains.map((name) => [name, worded(name)]), ["", about.domains.length > 2 ? "All" : "Both"]];
    byId("domains").hidden = about.domains.length < 2;
    byId("domains").querySelector("div").replaceChildren(...choices.map(([name, words], at) => choice(name, words, at)));
  };
  changes.addEventListener("forgotten", show);
  show();
}

function choice(name, words, at) {
  const box = el("input", { type: "radio", name: "domain", id: `domain-${at}`, value: name });
  box.checked = chosenDomain() === name;
  box.addEventListener("change", () => switchDomain(name));
  return el("label", { class: "domain", for: `domain-${at}` }, box, el("span", { dir: "auto", text: words }));
}
