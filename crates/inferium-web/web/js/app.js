// What every page does: theme, copy buttons, times, search by `/`, and the live head.

import { takeKeyFromAddress } from "./session.js";

takeKeyFromAddress();

document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
  localStorage.setItem("inferium-theme", document.documentElement.dataset["shown"] === "dark" ? "light" : "dark");
  window.dispatchEvent(new Event("inferium-theme"));
});

document.addEventListener("click", async (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const copy = target?.closest("[data-copy]");
  if (copy instanceof HTMLElement) {
    await navigator.clipboard.writeText(copy.dataset["copy"] ?? "");
    flash(copy);
  }
  const close = target?.closest("[data-close]");
  if (close) close.closest("dialog")?.close();
});

/** @param {HTMLElement} button */
function flash(button) {
  button.classList.add("did");
  setTimeout(() => button.classList.remove("did"), 900);
}

// On narrow screens the sections scroll; the one that is shown is in sight.
document.querySelector(".sections [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLElement && event.target.matches("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("search")?.focus();
  }
});

/** @param {number} ms */
function ago(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

function showTimes() {
  for (const time of document.querySelectorAll("time[data-ms]")) {
    if (time instanceof HTMLElement) time.textContent = ago(Number(time.dataset["ms"]));
  }
}
showTimes();
setInterval(showTimes, 1000);
document.addEventListener("htmx:afterSwap", showTimes);

/** @param {number} number */
const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** @type {EventSource | null} */
let source = null;

/** Follows the head while the page is looked at. */
function follow() {
  if (document.hidden) {
    source?.close();
    source = null;
    return;
  }
  if (source) return;
  source = new EventSource("/api/v1/events");
  source.addEventListener("block", (event) => {
    const block = JSON.parse(event.data);
    for (const head of document.querySelectorAll("[data-head]")) head.textContent = grouped(block.height);
    const beat = document.querySelector(".head");
    beat?.classList.remove("beat");
    requestAnimationFrame(() => beat?.classList.add("beat"));
    window.dispatchEvent(new CustomEvent("inferium-block", { detail: block }));
  });
}
document.addEventListener("visibilitychange", follow);
window.addEventListener("pagehide", () => source?.close());
follow();

// Tables that follow the head are asked for again, at most once in two seconds.
let refreshed = 0;
window.addEventListener("inferium-block", () => {
  const live = document.querySelector("[data-live]");
  const isBusy = live?.matches(":hover, :focus-within") ?? false;
  if (!(live instanceof HTMLElement) || isBusy || Date.now() - refreshed < 2000) return;
  refreshed = Date.now();
  const htmx = /** @type {any} */ (window)["htmx"];
  htmx?.ajax("GET", live.dataset["live"], { target: "#live", select: "#live", swap: "outerHTML" });
});
