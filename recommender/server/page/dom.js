// Makes elements. Text becomes text nodes only, so nothing that a catalogue or a person says can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Make an element. `props`: `class`, `text`, `on: {event: listener}`, and attributes; null and false are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "class") node.className = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Return a drawing of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Make a button with a drawing and words. `options.quiet`: without a frame. */
export function button(name, words, onClick, props = {}) {
  return el("button", { type: "button", class: "quiet", ...props, on: { click: onClick } }, name && icon(name), el("span", { text: words }));
}

/** Make a round button whose words are for screen readers and shown on hovering. */
export function roundButton(name, words, onClick, props = {}) {
  return el("button", { type: "button", class: "round", "aria-label": words, title: words, ...props, on: { click: onClick } }, icon(name));
}

let announcing;

/** Say something to screen readers; the last of several sentences in a short time is said. */
export function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => { byId("live").textContent = text; }, 150);
}

/** Return a function that runs `act` once nobody has called it for so many milliseconds. */
export function debounced(act, milliseconds) {
  let waiting;
  return (...args) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => act(...args), milliseconds);
  };
}

/** Return `1 film`, `2 films`. */
export const counted = (number, noun) => `${number.toLocaleString("en")} ${number === 1 ? noun.one : noun.many}`;

/** Return words as a list: `a, b and c`. */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Return ways as words: `a`, `a or b`, `a, b, or c`. */
export function alternatives(words) {
  return words.length < 3 ? words.join(" or ") : `${words.slice(0, -1).join(", ")}, or ${words.at(-1)}`;
}

/** Return a name of a table's column as words: `age_rating` -> `Age rating`. */
export function worded(name) {
  const words = name.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
