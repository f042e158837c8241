// A small player for sounds; one plays at a time.

import { fileAddress } from "./api.js";
import { el, icon, roundButton } from "./dom.js";

let playing;

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** Make a player. `source`: a path of this server, or an address of the browser's own. Nothing is loaded before it plays. */
export function player(source, title) {
  const audio = new Audio();
  audio.preload = "none";
  const name = `Play the sound of ${title}`;
  const toggle = roundButton("play", name, () => (audio.paused ? play() : audio.pause()), { "aria-pressed": "false", class: "round small" });
  const position = el("input", { type: "range", min: "0", max: "1000", value: "0", "aria-label": `Position in the sound of ${title}`, disabled: true });
  const time = el("span", { class: "time", text: "" });
  const frame = el("div", { class: "player" }, toggle, position, time);

  async function play(from, until) {
    if (playing && playing !== audio) playing.pause();
    playing = audio;
    frame.classList.remove("failed");
    try {
      if (!audio.src) audio.src = source.startsWith("blob:") || source.startsWith("data:") ? source : await fileAddress(source);
      if (from !== undefined) audio.currentTime = from;
      audio.dataset.until = until ?? "";
      await audio.play();
    } catch (error) {
      if (error.name === "AbortError") return;
      frame.classList.add("failed");
      time.textContent = "cannot be played";
    }
  }

  function show() {
    const length = Number.isFinite(audio.duration) ? audio.duration : 0;
    if (audio.dataset.until && audio.currentTime >= Number(audio.dataset.until)) audio.pause();
    position.disabled = !length;
    position.value = length ? Math.round((1000 * audio.currentTime) / length) : 0;
    position.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(length)}`);
    time.textContent = length ? `${clock(audio.currentTime)} / ${clock(length)}` : "";
  }

  function showState() {
    toggle.setAttribute("aria-pressed", String(!audio.paused));
    toggle.replaceChildren(icon(audio.paused ? "play" : "pause"));
  }

  position.addEventListener("input", () => { audio.currentTime = (audio.duration * position.value) / 1000; });
  for (const event of ["timeupdate", "loadedmetadata", "ended"]) audio.addEventListener(event, show);
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, showState);
  frame.playWindow = play;
  frame.stop = () => audio.pause();
  return frame;
}
