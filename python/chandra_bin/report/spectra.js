"use strict";
// The spectrum of the bin that is chosen in the map: page.js sends its number as the event "bin".
(async () => {
  const byId = (id) => document.getElementById(id);
  const holder = byId("spectra-data");
  if (!holder || !("DecompressionStream" in window)) return;
  const data = JSON.parse(holder.textContent);
  let bin = -1, isReady = false;
  // A bin can be chosen before the data are inflated: it is shown as soon as they are.
  document.addEventListener("bin", (event) => { bin = event.detail; if (isReady) show(); });

  const inflated = async (text) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  };
  // The first bytes of all numbers come first, then the second ones; little-endian.
  const planes = new Uint8Array(await inflated(data.data)), count = planes.length / 4;
  const bytes = new Uint8Array(planes.length);
  for (let i = 0; i < count; i++) for (let plane = 0; plane < 4; plane++) bytes[4 * i + plane] = planes[plane * count + i];
  const of = {};
  let begin = 0;
  for (const [name, kind, size] of data.arrays) {
    of[name] = new (kind === "u" ? Uint32Array : Float32Array)(bytes.buffer, 4 * begin, size);
    begin += size;
  }
  const texts = JSON.parse(new TextDecoder().decode(await inflated(data.texts)));
  const offsets = new Uint32Array(of.size.length + 1);
  of.size.forEach((size, i) => { offsets[i + 1] = offsets[i] + size; });
  const setsOf = new Map();
  of.bin.forEach((number, i) => setsOf.set(number, [...(setsOf.get(number) || []), i]));

  const box = byId("spectrum"), plot = byId("spectrum-plot"), which = byId("spectrum-obsid"), kind = byId("spectrum-kind");
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const nameOf = (set) => data.obsids[of.obsid[set]];
  const energy = (channel) => (channel - 1) * data.width;
  const few = (value, digits = 3) => Number(value.toPrecision(digits)).toString();

  // Points of some data sets together: neighbouring groups are joined until they hold the least counts.
  function points(sets) {
    const size = of.size[sets[0]], exposure = sum(sets.map((set) => of.exposure[set]));
    const groups = [], least = which.value !== "all" && data.obsids.length > 1 ? data.least_of_one : data.least;
    let open = null;
    for (let g = 0; g < size; g++) {
      const first = of.channel[offsets[sets[0]] + g];
      if (!open) groups.push(open = { first, counts: 0, background: 0, variance: 0, model: 0 });
      for (const set of sets) {
        const at = offsets[set] + g, background = of.background[at];
        open.counts += of.counts[at];
        open.background += background;
        open.variance += of.counts[at] + of.ratio[set] * background;
        open.model += of.model[at];
      }
      if (open.counts >= least) open = null;
    }
    if (open && groups.length > 1) {  // channels left at the end join the last group
      groups.pop();
      const last = groups[groups.length - 1];
      for (const part of ["counts", "background", "variance", "model"]) last[part] += open[part];
    }
    const isNet = kind.value === "net";
    return groups.map((group, i) => {
      const low = energy(group.first), high = energy(i + 1 < groups.length ? groups[i + 1].first : data.end);
      const rate = (counts) => counts / exposure / (high - low);
      const error = Math.sqrt(Math.max(group.variance, 1));
      return { low, high, middle: Math.sqrt(low * high), counts: group.counts,
        value: rate(group.counts - (isNet ? group.background : 0)), error: rate(error),
        background: rate(group.background), model: rate(group.model + (isNet ? 0 : group.background)),
        residual: (group.counts - group.background - group.model) / error };
    });
  }

  const svg = (name, attributes, parent, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const raised = (power) => String(power).replace(/./g, (digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]);
  const decade = (power) => (power < -3 || power > 3 ? `10${raised(power)}` : Number(`1e${power}`).toString());

  function draw(shown, hasModel) {
    const wide = Math.max(280, plot.parentElement.clientWidth), left = 58, right = wide - 10;
    const top = 8, middle = 268, below = 278, bottom = hasModel ? 376 : middle, high = bottom + 42;
    plot.replaceChildren();
    plot.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    plot.setAttribute("height", high);
    const [from, to] = [shown[0].low, shown[shown.length - 1].high];
    const x = (value) => left + ((right - left) * Math.log(value / from)) / Math.log(to / from);

    const isNet = kind.value === "net";
    const positive = shown.flatMap((p) => [p.value, p.value - p.error > 0.2 * p.value ? p.value - p.error : 0,
      hasModel ? p.model : 0, isNet ? 0 : p.background]).filter((value) => value > 0);
    const most = Math.max(...shown.map((p) => Math.max(p.value + p.error, hasModel ? p.model : 0)));
    const least = Math.max(Math.min(...positive, most), most * 1e-5);
    const y1 = most * 1.4, y0 = least / 1.6;
    const y = (value) => middle - ((middle - top) * Math.log(Math.max(value, y0) / y0)) / Math.log(y1 / y0);

    const frame = (upper, lower) => svg("rect", { x: left, y: upper, width: right - left, height: lower - upper,
      class: "frame" }, plot);
    const text = (words, at, up, anchor, extra = {}) =>
      svg("text", { x: at, y: up, "text-anchor": anchor, ...extra }, plot, words);
    const line = (xa, ya, xb, yb, name) => svg("line", { x1: xa, y1: ya, x2: xb, y2: yb, class: name }, plot);

    // Axes.
    const narrow = wide < 420;
    for (const tick of [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) {
      if (tick < from * 0.99 || tick > to * 1.01) continue;
      const labelled = (narrow ? [0.5, 1, 2, 5] : [0.3, 0.5, 0.7, 1, 2, 3, 4, 5, 7, 10]).includes(tick);
      for (const lower of hasModel ? [middle, bottom] : [middle]) line(x(tick), lower, x(tick), lower - (labelled ? 7 : 4), "axis");
      if (labelled) text(tick, x(tick), bottom + 16, "middle");
    }
    text("Energy (keV)", (left + right) / 2, bottom + 35, "middle");
    const decades = Math.log10(y1 / y0);
    for (let power = Math.floor(Math.log10(y0)); power <= Math.log10(y1); power++) {
      for (let part = 1; part < 10; part++) {
        const value = part * 10 ** power;
        if (value < y0 || value > y1) continue;
        const labelled = part === 1 || (decades < 1.6 && (part === 2 || part === 5));
        line(left, y(value), left + (labelled ? 7 : 4), y(value), "axis");
        if (labelled) text(part === 1 ? decade(power) : few(value), left - 5, y(value) + 4, "end");
      }
    }
    const turned = (words, up) => text(words, 0, 0, "middle", { transform: `translate(13 ${up}) rotate(-90)` });
    turned("counts s⁻¹ keV⁻¹", (top + middle) / 2);
    frame(top, middle);

    const steps = (value) => shown.map((p, i) => `${i ? "L" : "M"}${x(p.low).toFixed(1)} ${y(value(p)).toFixed(1)}H${x(p.high).toFixed(1)}`).join("");
    if (!isNet && shown.some((p) => p.background > 0)) svg("path", { d: steps((p) => p.background), class: "background" }, plot);
    for (const p of shown) {
      const one = svg("g", { class: "point" }, plot);
      const at = x(p.middle);
      if (p.value > 0) {
        svg("line", { x1: x(p.low), x2: x(p.high), y1: y(p.value), y2: y(p.value) }, one);
        svg("line", { x1: at, x2: at, y1: y(p.value + p.error), y2: y(p.value - p.error) }, one);
        svg("circle", { cx: at, cy: y(p.value), r: 2.2 }, one);
      } else {  // an upper limit of 2 sigma
        const up = y(p.value + 2 * p.error);
        svg("path", { d: `M${at - 4} ${up}h8l-4 7z`, class: "limit" }, one);
      }
      svg("title", {}, one, `${few(p.low)} - ${few(p.high)} keV: ${few(p.value)} ± ${few(p.error, 2)}`
        + (hasModel ? `, model ${few(p.model)}, residual ${few(p.residual, 2)} sigma` : ""));
    }
    if (!hasModel) return;
    svg("path", { d: steps((p) => p.model), class: "model" }, plot);

    // Residuals, on a linear scale.
    const reach = Math.max(3.5, Math.ceil(Math.max(...shown.map((p) => Math.abs(p.residual))) + 1));
    const r = (value) => (below + bottom) / 2 - ((bottom - below) / 2) * (value / reach);
    const step = reach > 20 ? 10 : reach > 8 ? 5 : 2;
    for (let tick = -step * Math.ceil(reach / step - 1); tick < reach; tick += step) {
      line(left, r(tick), left + 7, r(tick), "axis");
      text(String(tick).replace("-", "−"), left - 5, r(tick) + 4, "end");
    }
    turned("(D−M)/σ", (below + bottom) / 2);
    line(left, r(0), right, r(0), "model");
    frame(below, bottom);
    for (const p of shown) {
      const one = svg("g", { class: "residual" }, plot);
      svg("line", { x1: x(p.low), x2: x(p.high), y1: r(p.residual), y2: r(p.residual) }, one);
      svg("line", { x1: x(p.middle), x2: x(p.middle), y1: r(Math.min(p.residual + 1, reach)), y2: r(Math.max(p.residual - 1, -reach)) }, one);
      svg("circle", { cx: x(p.middle), cy: r(p.residual), r: 2.2 }, one);
    }
  }

  const fill = (id, rows) => byId(id).replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    cells.forEach((words, i) => {
      const cell = document.createElement(i ? "td" : "th");
      if (!i) cell.scope = "row";
      cell.textContent = words;
      row.append(cell);
    });
    return row;
  }));

  function show() {
    const sets = setsOf.get(bin);
    box.hidden = !sets;
    if (!sets) return;
    const fit = texts.fits[bin], chosen = which.value;
    // All together: those that the fit used, where there are any.
    const used = sets.filter((set) => of.fitted[set] && of.exposure[set] > 0);
    const seen = sets.filter((set) => of.exposure[set] > 0);
    const several = chosen === "all" ? (used.length ? used : seen) : seen.filter((set) => String(nameOf(set)) === chosen);
    const what = chosen === "all" ? (data.obsids.length > 1 ? "all ObsIDs" : `ObsID ${data.obsids[0]}`) : `ObsID ${chosen}`;
    byId("spectrum-title").textContent = `Spectrum of bin ${bin}`;
    const hasModel = several.length > 0 && fit.parameters.length > 0 && several.every((set) => !Number.isNaN(of.model[offsets[set]]));
    box.classList.toggle("without-model", !hasModel);
    box.classList.toggle("without-background", kind.value === "net");
    plot.parentElement.hidden = !several.length;
    const words = byId("spectrum-words");
    if (several.length) {
      const shown = points(several);
      draw(shown, hasModel);
      const best = shown.reduce((a, b) => (b.value > a.value ? b : a));
      const parts = [`Bin ${bin}, ${what}: ${shown.length} ${shown.length === 1 ? "point" : "points"} of ${few(shown[0].low)} - ${few(shown[shown.length - 1].high)} keV;`
        + ` the highest is ${few(best.value)} counts/s/keV at ${few(best.middle, 2)} keV.`];
      if (hasModel) {
        const off = shown.reduce((a, b) => (Math.abs(b.residual) > Math.abs(a.residual) ? b : a));
        const rms = Math.sqrt(sum(shown.map((p) => p.residual ** 2)) / shown.length);
        parts.push(`Residuals (data - model) / error: rms ${rms.toFixed(2)}, the largest ${off.residual > 0 ? "+" : "−"}${Math.abs(off.residual).toFixed(1)} at ${few(off.middle, 2)} keV.`);
      } else parts.push(fit.parameters.length ? "No model: the fit did not use this ObsID." : `No model: the bin was not fitted (${fit.facts.Fit}).`);
      words.textContent = parts.join(" ");
      fill("spectrum-points", shown.map((p) => [`${p.low.toFixed(2)} - ${p.high.toFixed(2)}`, p.counts, few(p.value), few(p.error, 2),
        few(p.background), ...(hasModel ? [few(p.model), p.residual.toFixed(2)] : ["", ""])]));
    } else {
      words.textContent = `Bin ${bin}, ${what}: no exposure.`;
      fill("spectrum-points", []);
    }
    fill("fit-parameters", fit.parameters);
    byId("fit-parameters").closest(".scroll").hidden = !fit.parameters.length;
    byId("fit-facts").replaceChildren(...Object.entries(fit.facts).map(([label, value]) => {
      const pair = document.createElement("div");
      for (const [tag, content] of [["dt", label], ["dd", value]]) {
        const part = document.createElement(tag);
        part.textContent = content;
        pair.append(part);
      }
      return pair;
    }));
    fill("fit-obsids", sets.map((set) => {
      const whole = (name) => sum([...of[name].subarray(offsets[set], offsets[set + 1])]);
      return [nameOf(set), (of.exposure[set] / 1000).toFixed(2), whole("counts"), whole("background").toFixed(1),
        `${Math.round(100 * of.share[set])} %`, of.fitted[set] && fit.parameters.length ? "yes" : "no", texts.responses[set] || "unknown"];
    }));
  }

  which.addEventListener("change", show);
  kind.addEventListener("change", show);
  addEventListener("resize", show);
  isReady = true;
  show();
  document.documentElement.dataset.spectra = "ready";
})();
