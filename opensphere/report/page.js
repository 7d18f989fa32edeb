"use strict";
(() => {
  const { runs, figures } = JSON.parse(document.getElementById("figures-json").textContent);
  const specs = new Map(figures.map((figure) => [figure.name, figure]));
  const shown = runs.map(() => true);
  const root = document.documentElement;
  const coarse = matchMedia("(pointer: coarse)").matches;
  const each = (selector, action) => document.querySelectorAll(selector).forEach(action);

  // figures ------------------------------------------------------------------------------------------------------
  const tone = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function themed(layout, width) {
    const ink = tone("--ink"), grid = tone("--grid"), card = tone("--card");
    const base = {
      font: { family: "system-ui, sans-serif", size: 12, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 8, r: 14, t: 12, b: 8 },
      hovermode: "x unified", dragmode: coarse ? false : "zoom", showlegend: false,
      hoverlabel: { bgcolor: card, bordercolor: tone("--line"), font: { color: ink }, namelength: 30 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left" },
      ...layout,
    };
    for (const name of ["xaxis", "yaxis"]) {
      const axis = layout[name] || {};
      base[name] = {
        automargin: true, gridcolor: grid, zerolinecolor: grid, linecolor: tone("--line"), nticks: width < 460 ? 6 : 9,
        ...axis,
        title: { font: { size: 12, color: tone("--quiet") }, standoff: 8, ...(axis.title || {}) },
      };
    }
    if (layout.scene) { delete base.xaxis; delete base.yaxis; base.margin = { l: 0, r: 0, t: 0, b: 0 }; }
    return base;
  }

  // bands and dots stand aside where more lines are shown than they can be told apart on
  function visible(spec) {
    const on = (trace) => !trace.meta || shown[trace.meta.run] !== false;
    const runs = new Set(spec.data.filter((trace) => trace.meta && on(trace)).map((trace) => trace.meta.run));
    return spec.data.map((trace) => on(trace) && (!trace.meta || !trace.meta.aside || runs.size <= 4));
  }

  const webgl = (() => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2") || canvas.getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  })();

  // a sphere that cannot be drawn says so, and where angles can be read instead
  function withoutWebgl(place) {
    place.drawn = "no";
    place.style.height = "auto";
    place.removeAttribute("role");
    const text = document.createElement("p");
    text.className = "missing";
    text.textContent = "This browser has no WebGL, so this sphere is not drawn. The same angles are in the flat figures";
    const angles = figures.find((figure) => figure.name.startsWith("angles-"));
    if (angles) {
      const link = document.createElement("a");
      link.href = `#${angles.name}`;
      link.textContent = "angles within and between people";
      text.append(": ", link);
    }
    text.append(".");
    place.replaceChildren(text);
    place.closest("figure").querySelector("figcaption")?.remove();
  }

  function draw(place) {
    const spec = specs.get(place.dataset.figure);
    if (spec.layout.scene && !webgl) { withoutWebgl(place); return Promise.resolve(); }
    const seen = visible(spec);
    const data = spec.data.map((trace, index) => ({ ...trace, visible: seen[index] }));
    const layout = themed(spec.layout, place.clientWidth);
    if (place.marker) layout.shapes = [...(spec.layout.shapes || []), place.marker];
    const options = {
      responsive: true, displaylogo: false, displayModeBar: coarse ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
      toImageButtonOptions: { format: "svg", filename: spec.name },
    };
    place.drawn = true;
    return Plotly.react(place, data, layout, options);
  }

  function drawAll() { each(".plot", (place) => { if (place.drawn === true) draw(place); }); }

  // a figure is drawn when it comes near: hidden ones have no width to be drawn in
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && entry.target.clientWidth && !entry.target.drawn) draw(entry.target);
    }
  }, { rootMargin: "600px" });
  each(".plot", (place) => near.observe(place));

  // runs ---------------------------------------------------------------------------------------------------------
  each("[data-legend]", (button) => button.addEventListener("click", () => {
    const run = Number(button.dataset.legend);
    shown[run] = !shown[run];
    button.setAttribute("aria-pressed", String(shown[run]));
    each(`[data-run="${run}"]`, (row) => { row.hidden = !shown[run]; });
    each(".plot", (place) => {
      if (place.drawn === true) Plotly.restyle(place, { visible: visible(specs.get(place.dataset.figure)) });
    });
  }));

  // the threshold ------------------------------------------------------------------------------------------------
  const sum = (values, from, to) => { let total = 0; for (let i = from; i < to; i += 1) total += values[i]; return total; };
  const rate = (part, whole) => {
    if (!whole) return "–";
    const percent = (100 * part) / whole;
    const text = part === 0 ? "0" : percent < 0.01 ? percent.toPrecision(2) : percent.toFixed(2);
    return `${text} %  (${part.toLocaleString("en")} of ${whole.toLocaleString("en")})`;
  };

  each("[data-slider]", (slider) => {
    const name = slider.dataset.slider;
    const { sliders } = specs.get(name);
    const place = document.querySelector(`.plot[data-figure="${name}"]`);
    const output = document.getElementById(`${name}-value`);
    const edges = sliders[0].edges;
    slider.min = String(sliders[0].first);
    slider.max = String(Math.min(sliders[0].last, edges.length - 1));
    slider.value = String(sliders[0].start);
    function move() {
      const threshold = edges[Number(slider.value)];
      output.textContent = threshold.toFixed(2);
      slider.setAttribute("aria-valuetext", threshold.toFixed(2));
      for (const one of sliders) {
        const edge = one.edges.findIndex((value) => value >= threshold - 1e-9);
        const cut = edge < 0 ? one.edges.length - 1 : edge;
        const row = slider.closest(".slider").querySelector(`[data-run="${one.run}"]`);
        const all = (values) => sum(values, 0, values.length);
        row.querySelector('[data-rate="fmr"]').textContent =
          rate(sum(one.impostor, cut, one.impostor.length), all(one.impostor));
        row.querySelector('[data-rate="fnmr"]').textContent = rate(sum(one.genuine, 0, cut), all(one.genuine));
      }
      place.marker = {
        type: "line", x0: threshold, x1: threshold, yref: "paper", y0: 0, y1: 1,
        line: { color: tone("--ink"), width: 2, dash: "dash" },
      };
      if (place.drawn) Plotly.relayout(place, { shapes: [place.marker] });
    }
    slider.addEventListener("input", move);
    move();
  });

  // comparisons --------------------------------------------------------------------------------------------------
  each("[data-metric]", (select) => select.addEventListener("change", () => {
    select.closest("section").querySelectorAll("[data-verdicts]").forEach((part) => {
      part.hidden = part.dataset.verdicts !== select.value;
      if (!part.hidden) part.querySelectorAll(".plot").forEach((place) => { if (!place.drawn) draw(place); });
    });
  }));

  // tables -------------------------------------------------------------------------------------------------------
  each("[data-sort]", (button) => button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = head.closest("table");
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
    table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const known = (text) => text !== "" && text !== "-inf" && !Number.isNaN(Number(text));
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => {
      const a = value(one), b = value(other);
      if (known(a) && known(b)) return down * (Number(a) - Number(b));
      if (known(a) !== known(b)) return known(a) ? -1 : 1;
      return down * a.localeCompare(b, "en", { numeric: true });
    });
    table.tBodies[0].append(...rows);
  }));

  // light and dark -----------------------------------------------------------------------------------------------
  const theme = document.getElementById("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function setTheme() { theme.textContent = dark() ? "light" : "dark"; drawAll(); }
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    each(".plot", (place) => { if (place.marker) place.marker.line.color = tone("--ink"); });
    setTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", setTheme);
  setTheme();
})();
