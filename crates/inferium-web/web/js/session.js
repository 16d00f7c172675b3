// What a tab knows of its user: an API key, and an operator's admin token, kept while the tab lives and sent to this gateway alone.

const KEY = "inferium-api-key";
const ADMIN = "inferium-admin-token";

/** `#key=…` in the address, as `inferium up` prints it, or `#admin=…` as `inferium key admin` does: a fragment is sent to nobody. */
export function takeKeyFromAddress() {
  const found = /^#(?:key=(sk-inferium-[0-9a-f]+)|admin=(inferium-admin-[0-9a-f]+))$/.exec(location.hash);
  if (!found) return;
  if (found[1]) sessionStorage.setItem(KEY, found[1]);
  if (found[2]) sessionStorage.setItem(ADMIN, found[2]);
  history.replaceState(null, "", location.pathname + location.search);
}

export const apiKey = () => sessionStorage.getItem(KEY) ?? "";
export const adminToken = () => sessionStorage.getItem(ADMIN) ?? "";
/** @param {string} token */
export const keepAdminToken = (token) => sessionStorage.setItem(ADMIN, token);

/** Keeps the key fields of a page and the tab's memory the same. */
export function bindKeyFields() {
  takeKeyFromAddress();
  for (const field of document.querySelectorAll("[data-api-key]")) {
    if (!(field instanceof HTMLInputElement)) continue;
    field.value = apiKey();
    field.addEventListener("input", () => sessionStorage.setItem(KEY, field.value.trim()));
  }
}

/** The network key that the page was sent with. A reader who knows another one compares it: it is in the footer. */
export const networkKey = () => document.querySelector('meta[name="inferium-network-key"]')?.getAttribute("content") ?? "";
