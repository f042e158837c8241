// Puts the page together: who calls what when something changes.

import { json } from "./api.js";
import * as chat from "./chat.js";
import { alternatives, announce, byId, el, icon, roundButton } from "./dom.js";
import { startDomains } from "./domains.js";
import { checkLikes, offerStarters, startLikes } from "./likes.js";
import * as list from "./list.js";
import { MediaError, kindOf, readPicture, readSound, record } from "./media.js";
import { brief, notice, watchConnection } from "./notices.js";
import { startParameters } from "./parameters.js";
import { player } from "./player.js";
import { about, changes, draft, forget, keepDraft, load, person } from "./state.js";
import { startDrawer, why, whatIf, whyNot } from "./why.js";

const attached = { picture: null, sound: null };
let recording = null;

/** Rank again by whatever the list goes by: the conversation, or what is liked. */
function rankAgain() {
  const begun = chat.talking() || person.likes.length > 0 || person.without.includes("history");
  byId("welcome").hidden = begun;
  if (chat.talking()) chat.again();
  else if (begun) list.refresh();
  else {
    list.clear();
    offerStarters();
  }
}

async function start() {
  load();
  for (const node of document.querySelectorAll("[data-icon]")) {
    node.prepend(icon(node.dataset.icon));
    node.title = node.ariaLabel;
  }
  const field = byId("message");
  field.value = draft();
  startTheme();
  startDrawer();
  startComposer(field);
  watchConnection(() => learn().then(rankAgain));
  await learn();
  list.hooks.why = why;
  list.hooks.again = rankAgain;
  startDomains();
  const showLikes = startLikes();
  for (const name of ["likes", "switches", "domain"]) changes.addEventListener(name, rankAgain);
  changes.addEventListener("forgotten", () => {
    chat.reset();
    rankAgain();
  });
  document.addEventListener("conversation-over", rankAgain);
  byId("forget").addEventListener("click", () => {
    forget();
    clearAttached();
    byId("message").value = "";
    brief("Forgotten. You are somebody new here.");
  });
  byId("why-not").addEventListener("click", () => whyNot(byId("why-not")));
  byId("what-if").addEventListener("click", () => whatIf(byId("what-if")));
  byId("more").addEventListener("click", list.more);
  if (matchMedia("(max-width: 860px)").matches) byId("likes").open = false;
  rankAgain();
  startParameters();
  checkLikes(showLikes);
}

/** Ask what this model is. */
async function learn() {
  try {
    Object.assign(about, await json("page/about.json"));
  } catch {
    return; // the list says what is wrong
  }
  byId("model").textContent = about.model;
  byId("welcome-title").textContent = `Which ${about.noun.one} would you like?`;
  byId("message").placeholder = `Describe a ${about.noun.one} …`;
  const ways = ["Say it in your own words", about.sees && "drop a picture", about.hears && "speak"].filter(Boolean);
  byId("welcome-ways").textContent = `${alternatives(ways)}. Every reason is checked before you see it.`;
  byId("message").maxLength = about.limits.message_chars;
  byId("add-picture").hidden = !about.sees;
  byId("add-sound").hidden = byId("speak").hidden = !about.hears;
}

function startTheme() {
  const press = byId("theme");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const show = () => press.setAttribute("aria-pressed", String(isDark()));
  press.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("recommender.theme", root.dataset.theme);
    } catch {
      // it holds for this visit
    }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

// the composer

function startComposer(field) {
  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 200)}px`;
  };
  field.addEventListener("input", () => {
    keepDraft(field.value);
    grow();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send(field, grow);
  });
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send(field, grow);
  });
  chat.onRefused((message) => {
    field.value = [message.text, field.value].filter(Boolean).join("\n");
    keepDraft(field.value);
    Object.assign(attached, { picture: message.picture ?? null, sound: message.sound ?? null });
    showAttached();
    grow();
    field.focus();
  });
  for (const kind of ["picture", "sound"]) {
    const input = byId(`${kind}-file`);
    byId(`add-${kind}`).addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      if (input.files[0]) attach(input.files[0]);
      input.value = "";
    });
  }
  field.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file) return;
    event.preventDefault();
    attach(file);
  });
  byId("speak").addEventListener("click", speak);
  startDropping();
  grow();
}

function send(field, grow) {
  const text = field.value.trim();
  if (!text && !attached.picture && !attached.sound) return field.focus();
  byId("welcome").hidden = true;
  const said = chat.say({ text, ...attached });
  field.value = "";
  keepDraft("");
  clearAttached();
  grow();
  return said;
}

/** Take a file along with the next message; what cannot be is told in a sentence. */
async function attach(file, name) {
  try {
    const kind = kindOf(file);
    byId("composer").setAttribute("aria-busy", "true");
    attached[kind] = kind === "picture" ? await readPicture(file) : await readSound(file, name);
    showAttached();
    announce(`${kind === "picture" ? "The picture" : "The sound"} goes with your message.`);
    byId("message").focus();
  } catch (error) {
    if (!(error instanceof MediaError)) throw error;
    notice("media", error.message, { role: "alert", kind: "bad" });
  } finally {
    byId("composer").removeAttribute("aria-busy");
  }
}

function clearAttached() {
  Object.assign(attached, { picture: null, sound: null });
  showAttached();
}

function showAttached() {
  const remove = (kind, words) => roundButton("close", words, () => {
    attached[kind] = null;
    showAttached();
    byId("message").focus();
  }, { class: "round tiny" });
  const parts = [];
  if (attached.picture) parts.push(el("span", { class: "attachment" }, el("img", { src: attached.picture.full, alt: `Picture ${attached.picture.name}` }), remove("picture", "Take the picture away")));
  if (attached.sound) parts.push(el("span", { class: "attachment" }, player(attached.sound.url, attached.sound.name), remove("sound", "Take the sound away")));
  byId("attached").replaceChildren(...parts);
  byId("attached").hidden = !parts.length;
}

/** Begin to record, or end it. */
async function speak() {
  if (recording) return recording.stop();
  const press = byId("speak");
  try {
    recording = await record();
  } catch (error) {
    if (!(error instanceof MediaError)) throw error;
    return notice("media", error.message, { role: "alert", kind: "bad" });
  }
  press.setAttribute("aria-pressed", "true");
  byId("recording").textContent = "Listening … press again to end";
  const sound = await recording.done;
  recording = null;
  press.setAttribute("aria-pressed", "false");
  byId("recording").textContent = "";
  return attach(new File([sound], "your voice", { type: sound.type || "audio/webm" }), "your voice");
}

function startDropping() {
  const shade = byId("drop");
  let depth = 0;
  const over = (by) => {
    depth = Math.max(0, depth + by);
    shade.hidden = depth === 0;
  };
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (holdsFiles(event)) over(1); });
  addEventListener("dragleave", (event) => { if (holdsFiles(event)) over(-1); });
  addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    over(-depth);
    for (const file of event.dataTransfer.files) attach(file);
  });
}

start();
