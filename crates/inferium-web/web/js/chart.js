// Charts over time, and of losses by step, from a page's own data.

/** @param {string} name */
const colour = (name) => {
  // The value of a variable may be a function of the scheme; what is painted is not.
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const painted = getComputedStyle(probe).color;
  probe.remove();
  return painted;
};

/** @type {{ destroy: () => void, setSize: (size: { width: number, height: number }) => void } | null} */
let chart = null;

/** @param {HTMLElement} place @param {number[][]} minutes */
function draw(place, minutes) {
  const UPlot = /** @type {any} */ (window)["uPlot"];
  if (!UPlot) return;
  chart?.destroy();
  if (minutes.length < 2) {
    place.textContent = "A chart needs two minutes of blocks.";
    return;
  }
  place.textContent = "";
  const column = (/** @type {number} */ index) => minutes.map((minute) => minute[index] ?? 0);
  const [accent, good, soft, line] = ["--accent", "--good", "--soft", "--line"].map(colour);
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  const options = {
    width: place.clientWidth, height: 210, cursor: { y: false },
    scales: { tokens: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ max) => [0, Math.max(10, max * 1.1)] }, blocks: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ max) => [0, Math.max(10, max * 1.1)] } },
    axes: [axis, { ...axis, scale: "tokens", size: 56 }, { ...axis, scale: "blocks", side: 1, grid: { show: false } }],
    series: [{}, { label: "Tokens", scale: "tokens", stroke: accent, width: 2, fill: `color-mix(in srgb, ${accent} 14%, transparent)` }, { label: "Blocks", scale: "blocks", stroke: good, width: 2 }],
  };
  chart = new UPlot(options, [column(0), column(4), column(1)], place);
}

/** @param {HTMLElement} place @param {number[]} losses */
function drawLosses(place, losses) {
  const UPlot = /** @type {any} */ (window)["uPlot"];
  if (!UPlot) return;
  chart?.destroy();
  if (losses.length < 2) {
    place.textContent = "A chart needs two steps whose intervals are final.";
    return;
  }
  place.textContent = "";
  const [accent, soft, line] = ["--accent", "--soft", "--line"].map(colour);
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  const most = losses.reduce((one, other) => Math.max(one, other), 0);
  const options = {
    width: place.clientWidth, height: 210, cursor: { y: false },
    scales: { x: { time: false }, y: { range: [0, most * 1.05 || 1] } },
    axes: [axis, { ...axis, size: 56 }],
    series: [{ label: "Step" }, { label: "Loss", stroke: accent, width: 2, fill: `color-mix(in srgb, ${accent} 14%, transparent)` }],
  };
  chart = new UPlot(options, [losses.map((_, step) => step + 1), losses], place);
}

async function run() {
  const place = document.querySelector("[data-chart]");
  if (!(place instanceof HTMLElement)) return;
  const response = await fetch(place.dataset["chart"] ?? "");
  const { minutes, losses } = await response.json();
  const again = () => (losses ? drawLosses(place, losses) : draw(place, minutes));
  again();
  window.addEventListener("resize", () => chart?.setSize({ width: place.clientWidth, height: 210 }));
  window.addEventListener("inferium-theme", again);
}

if (document.readyState === "complete") run();
else window.addEventListener("load", run);
