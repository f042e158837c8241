// A field that finds items on the server while one types: a combobox as screen readers know it.

import { announce, counted, debounced, el, icon } from "./dom.js";
import { byline, poster, search } from "./items.js";
import { chosenNoun } from "./state.js";

const WAIT = 150;
let number = 0;

/** Make the field. `words`: makes what it is called, of the noun that is searched; `onPick` is called with the item that is
 * chosen. What was found is gone when `frame.renamed` is called, as another domain is searched. */
export function searchBox(words, onPick) {
  const id = `search-${(number += 1)}`;
  const input = el("input", {
    id, type: "search", role: "combobox", autocomplete: "off", dir: "auto", spellcheck: "false",
    "aria-expanded": "false", "aria-controls": `${id}-found`, "aria-autocomplete": "list", maxlength: "200",
  });
  const found = el("ul", { id: `${id}-found`, class: "found", role: "listbox", hidden: true });
  const note = el("p", { class: "muted search-note", hidden: true });
  const label = el("label", { class: "hidden", for: id });
  const frame = el("div", { class: "search" }, label, icon("search"), input, found, note);
  let items = [];
  let active = -1;
  let asking;

  function close() {
    items = [];
    active = -1;
    found.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function pick(item) {
    asking?.abort();
    input.value = "";
    close();
    onPick(item);
  }

  function activate(at) {
    found.children[active]?.setAttribute("aria-selected", "false");
    active = (at + items.length) % items.length;
    const option = found.children[active];
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }

  function show() {
    active = -1;
    found.replaceChildren(...items.map((item, at) => option(item, `${id}-${at}`, () => pick(item))));
    found.hidden = !items.length;
    input.setAttribute("aria-expanded", String(items.length > 0));
  }

  function say(text) {
    note.textContent = text;
    note.hidden = !text;
  }

  const look = debounced(async () => {
    asking?.abort();
    const text = input.value.trim();
    say("");
    if (!text) return close();
    asking = new AbortController();
    const { signal } = asking;
    try {
      const answer = await search(text, { signal });
      if (signal.aborted) return undefined;
      items = answer.data;
      show();
      if (!items.length) say(`No ${chosenNoun().one} is called so.`);
      announce(items.length ? `${counted(answer.total, chosenNoun())} found; arrow keys choose` : `No ${chosenNoun().one} is called so.`);
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      close();
      say(error.message);
    }
    return undefined;
  }, WAIT);

  input.addEventListener("input", look);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && items.length) {
      event.stopPropagation();
      event.preventDefault();
      close();
    }
    if (!items.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      activate(event.key === "ArrowDown" ? active + 1 : active < 0 ? -1 : active - 1);
    }
    if (event.key === "Enter") {
      event.preventDefault();
      pick(items[Math.max(active, 0)]);
    }
  });
  input.addEventListener("blur", () => setTimeout(() => { if (!frame.contains(document.activeElement)) close(); }, 150));
  frame.field = input;
  frame.renamed = () => {
    asking?.abort();
    close();
    say("");
    label.textContent = input.placeholder = words(chosenNoun());
    found.setAttribute("aria-label", `${chosenNoun().many} that fit`);
  };
  frame.renamed();
  return frame;
}

function option(item, id, choose) {
  const words = el("span", { class: "found-words" }, el("span", { class: "found-title", dir: "auto", text: item.title }), el("span", { class: "muted", dir: "auto", text: byline(item, 2).join(" · ") }));
  const node = el("li", { id, role: "option", "aria-selected": "false" }, poster(item.item_id, item.title, 96), words);
  node.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus in the field
  node.addEventListener("click", choose);
  return node;
}
