// A worker's duty, for its operator: what it is told goes to the admin routes of this address, with the admin token.

import { adminToken, keepAdminToken } from "./session.js";

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const field = /** @type {HTMLInputElement} */ (part("admin-token"));
const node = part("duty").dataset["duty"] ?? "";
const buttons = [...document.querySelectorAll("#duty [data-set]")].filter((one) => one instanceof HTMLButtonElement);
const drain = /** @type {HTMLDialogElement} */ (part("drain"));

/** @param {"GET" | "PUT"} method @param {string} path @param {object} [body] */
async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${adminToken()}`, "content-type": "application/json" };
  const response = await fetch(`/admin/v1/workers${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

/** @param {string | undefined} duty What it is, if that is known. */
function show(duty) {
  const state = part("duty-state");
  state.textContent = duty ?? "unknown";
  state.className = `badge ${duty === "working" ? "good" : duty === undefined ? "" : "warn"}`;
  // One that goes can't be told otherwise.
  for (const button of buttons) button.disabled = duty === undefined || duty === "draining" || button.dataset["set"] === duty;
}

/** @param {() => Promise<string | undefined>} look */
async function tell(look) {
  part("duty-error").textContent = "";
  try {
    show(await look());
  } catch (error) {
    show(undefined);
    part("duty-error").textContent = error instanceof Error ? error.message : String(error);
  }
}

/** @param {string} duty */
const set = (duty) => tell(async () => (await ask("PUT", `/${node}`, { duty })).duty);

async function look() {
  if (adminToken() === "") return show(undefined);
  await tell(async () => {
    const { data } = await ask("GET", "");
    const found = data.find((/** @type {any} */ one) => one.node === node);
    if (!found) throw new Error("This worker does not run beside this gateway: pause it where it runs.");
    return found.duty;
  });
}

field.value = adminToken();
field.addEventListener("input", () => {
  keepAdminToken(field.value.trim());
  look();
});
part("duty-form").addEventListener("submit", (event) => event.preventDefault());
for (const button of buttons) {
  button.addEventListener("click", () => (button.dataset["set"] === "draining" ? drain.showModal() : set(button.dataset["set"] ?? "")));
}
part("drain-now").addEventListener("click", () => {
  drain.close();
  set("draining");
});
look();
