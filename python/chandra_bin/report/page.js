"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // Tables: a heading sorts by its column, upwards at first, and the other way when it is used again.
  const valueOf = (cell) => {
    const text = cell.textContent.trim();
    return text === "" ? NaN : Number(text);
  };
  for (const table of all("table.sortable")) {
    const headings = all("thead th", table);
    headings.forEach((heading, column) => {
      heading.querySelector("button")?.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        const rows = all("tbody tr", table).map((row) => ({
          row, number: valueOf(row.cells[column]), text: row.cells[column].textContent.trim() }));
        const numbers = rows.every((each) => each.text === "" || !Number.isNaN(each.number));
        const order = numbers
          ? (a, b) => (Number.isNaN(a.number) - Number.isNaN(b.number)) || (up ? 1 : -1) * (a.number - b.number) || 0
          : (a, b) => (up ? 1 : -1) * a.text.localeCompare(b.text);
        rows.sort(order);
        headings.forEach((each) => each.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        table.tBodies[0].append(...rows.map((each) => each.row));
      });
    });
  }

  // Pictures at their full size.
  const large = byId("large");
  for (const button of all("button.picture")) {
    button.addEventListener("click", () => {
      const from = button.querySelector("img"), to = large.querySelector("img");
      to.src = from.src;
      to.alt = from.alt;
      large.showModal();
    });
  }

  // A link to a folded section opens it; print shows all sections open.
  const open = () => {
    const target = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);
  open();
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    folded.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));

  const holder = byId("map-data");
  if (holder && "DecompressionStream" in window) explore(JSON.parse(holder.textContent));

  async function explore(data) {
    const { width, height, bins } = data;
    const packed = Uint8Array.from(atob(data.labels), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(stream).arrayBuffer();
    // Numbers of bins plus 1, 0 for none, the upper row first. Little-endian, as all browsers are.
    const labels = data.size === 2 ? new Uint16Array(buffer) : new Uint32Array(buffer);
    const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? -1 : labels[y * width + x] - 1);

    // The box of each bin, and a pixel near its middle.
    const boxes = Array.from({ length: bins }, () => null);
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const bin = labels[i] - 1;
        if (bin < 0) continue;
        const box = boxes[bin];
        if (!box) boxes[bin] = { x0: x, x1: x, y0: y, y1: y };
        else {
          if (x < box.x0) box.x0 = x;
          if (x > box.x1) box.x1 = x;
          box.y1 = y;
        }
      }
    }
    const middle = (bin) => {
      const box = boxes[bin];
      const centre = { x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2 };
      let best = null, least = Infinity;
      for (let y = box.y0; y <= box.y1; y++) {
        for (let x = box.x0; x <= box.x1; x++) {
          const away = (x - centre.x) ** 2 + (y - centre.y) ** 2;
          if (away < least && at(x, y) === bin) { least = away; best = { x, y }; }
        }
      }
      return best;
    };

    const table = byId("bin-table"), map = byId("map"), marked = byId("marked"), stage = byId("stage");
    const viewport = byId("viewport"), ring = byId("ring"), tip = byId("tip"), select = byId("colour");
    const columns = all("thead th", table).map((heading) => heading.dataset.name);
    const labelOf = all("thead th button", table).map((button) => button.firstChild.textContent.trim());
    const rowOf = (bin) => byId(`bin-${bin}`);
    for (const canvas of [map, marked]) { canvas.width = width; canvas.height = height; }

    // Colours by a column: logarithmic for what spans much, the extremes of one bin in fifty left out.
    function paint() {
      const column = columns.indexOf(select.selectedOptions[0].dataset.column);
      const values = new Float64Array(bins);
      for (let bin = 0; bin < bins; bin++) values[bin] = valueOf(rowOf(bin).cells[column]);
      const sorted = [...values].filter((value) => boxes && Number.isFinite(value)).sort((a, b) => a - b);
      const part = (p) => sorted[Math.round(p * (sorted.length - 1))];
      const low = part(0.02), high = part(0.98);
      const log = low > 0 && high > 20 * low;
      const scale = (value) => {
        const place = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low || 1);
        return Math.max(0, Math.min(data.colours.length - 1, Math.round((place || 0) * (data.colours.length - 1))));
      };
      const colour = Array.from(values, (value) => data.colours[scale(value)]);
      const image = new ImageData(width, height), pixels = image.data;
      for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          const label = labels[i], p = 4 * i;
          if (!label) { pixels[p] = pixels[p + 1] = pixels[p + 2] = 138; pixels[p + 3] = 255; continue; }
          // The rims of bins are a little darker, or brighter on the dark.
          const rim = (x + 1 < width && labels[i + 1] !== label) || (y + 1 < height && labels[i + width] !== label);
          const [r, g, b] = colour[label - 1];
          const shift = rim ? (r + g + b > 240 ? -55 : 55) : 0;
          pixels[p] = r + shift; pixels[p + 1] = g + shift; pixels[p + 2] = b + shift; pixels[p + 3] = 255;
        }
      }
      map.getContext("2d").putImageData(image, 0, 0);
      const few = (value) => (value === undefined ? "" : Number(value.toPrecision(3)).toString());
      byId("least").textContent = `≤ ${few(low)}`;
      byId("most").textContent = `≥ ${few(high)}${log ? " (log)" : ""}`;
      byId("bar").style.background = `linear-gradient(to right, ${data.colours.map((c) => `rgb(${c})`).join(",")})`;
    }

    const words = (bin) => {
      const cells = rowOf(bin).cells;
      const part = (name, unit = "") => {
        const column = columns.indexOf(name);
        return column < 0 ? [] : [`${labelOf[column]} ${cells[column].textContent}${unit}`];
      };
      return [`Bin ${bin}`, ...part("counts"), ...part("sn"), ...part("sn_image"),
        ...(columns.includes("area_arcsec2") ? part("area_arcsec2", " arcsec²") : part("npix"))].join(" · ");
    };

    let chosen = -1, place = null, zoom = 1;

    function size() {
      // The whole map fits into the viewport at zoom 1.
      const wide = Math.min(viewport.parentElement.clientWidth - 2, (innerHeight * 0.8 * width) / height);
      stage.style.width = `${Math.round(wide * zoom)}px`;
      stage.style.height = `${Math.round((wide * zoom * height) / width)}px`;
      for (const canvas of [map, marked]) canvas.style.imageRendering = wide * zoom < width ? "auto" : "pixelated";
      mark();
    }

    function mark() {
      const context = marked.getContext("2d");
      context.clearRect(0, 0, width, height);
      ring.hidden = chosen < 0;
      if (chosen < 0) return;
      const box = boxes[chosen], w = box.x1 - box.x0 + 1, h = box.y1 - box.y0 + 1;
      const image = context.createImageData(w, h), pixels = image.data;
      for (let y = 0; y < h; y++) {
        for (let x = 0; x < w; x++) {
          const here = { x: box.x0 + x, y: box.y0 + y };
          if (at(here.x, here.y) !== chosen) continue;
          const rim = at(here.x - 1, here.y) !== chosen || at(here.x + 1, here.y) !== chosen
            || at(here.x, here.y - 1) !== chosen || at(here.x, here.y + 1) !== chosen;
          pixels.set(rim ? [176, 0, 32, 255] : [255, 255, 255, 150], 4 * (y * w + x));
        }
      }
      context.putImageData(image, box.x0, box.y0);
      // And a frame around it, which is seen where the bin itself is too small.
      const scale = stage.clientWidth / width, least = 14;
      const side = (first, last) => {
        const long = Math.max((last - first + 1) * scale + 6, least);
        return [((first + last + 1) / 2) * scale - long / 2, long];
      };
      const [left, long] = side(box.x0, box.x1), [top, high] = side(box.y0, box.y1);
      Object.assign(ring.style, { left: `${left}px`, top: `${top}px`, width: `${long}px`, height: `${high}px` });
    }

    function choose(bin, from) {
      if (bin < 0 || !boxes[bin]) return;
      if (chosen >= 0) {
        rowOf(chosen).classList.remove("marked");
        rowOf(chosen).removeAttribute("aria-current");
      }
      chosen = bin;
      place = from || middle(bin);
      const row = rowOf(bin);
      row.classList.add("marked");
      row.setAttribute("aria-current", "true");
      byId("chosen").textContent = words(bin);
      byId("to-row").disabled = false;
      byId("number").value = bin;
      mark();
      document.dispatchEvent(new CustomEvent("bin", { detail: bin }));
      // The row comes into sight in the box of the table; the page itself stays where it is.
      const holder = table.parentElement, head = table.tHead.offsetHeight;
      const top = row.getBoundingClientRect().top - holder.getBoundingClientRect().top + holder.scrollTop;
      if (top < holder.scrollTop + head || top + row.offsetHeight > holder.scrollTop + holder.clientHeight) {
        holder.scrollTop = top - holder.clientHeight / 2;
      }
      const scale = stage.clientWidth / width;
      for (const [key, length, spot] of [["scrollLeft", "clientWidth", place.x], ["scrollTop", "clientHeight", place.y]]) {
        const seen = spot * scale;
        if (seen < viewport[key] || seen > viewport[key] + viewport[length]) viewport[key] = seen - viewport[length] / 2;
      }
    }

    function toRow() {
      if (chosen < 0) return;
      const button = rowOf(chosen).querySelector("button");
      button.focus({ preventScroll: true });
      button.scrollIntoView({ block: "center", inline: "nearest" });
    }

    const under = (event) => {
      const box = map.getBoundingClientRect();
      return { x: Math.floor(((event.clientX - box.left) / box.width) * width),
        y: Math.floor(((event.clientY - box.top) / box.height) * height) };
    };
    stage.addEventListener("click", (event) => {
      const spot = under(event);
      choose(at(spot.x, spot.y), spot);
    });
    stage.addEventListener("pointermove", (event) => {
      const spot = under(event), bin = event.pointerType === "touch" ? -1 : at(spot.x, spot.y);
      tip.hidden = bin < 0;
      if (bin < 0) return;
      tip.textContent = words(bin);
      const box = viewport.getBoundingClientRect();
      const x = event.clientX - box.left, y = event.clientY - box.top;
      const left = x + 16 + tip.offsetWidth > box.width ? x - 12 - tip.offsetWidth : x + 16;
      const top = y + 16 + tip.offsetHeight > box.height ? y - 12 - tip.offsetHeight : y + 16;
      tip.style.left = `${Math.max(0, left) + viewport.scrollLeft}px`;
      tip.style.top = `${Math.max(0, top) + viewport.scrollTop}px`;
    });
    stage.addEventListener("pointerleave", () => { tip.hidden = true; });

    // The next bin in a direction, entered in the middle of its run of pixels there.
    function step(dx, dy) {
      if (chosen < 0) { beside(1); return; }
      let { x, y } = place;
      while (x >= 0 && y >= 0 && x < width && y < height && (at(x, y) === chosen || at(x, y) < 0)) { x += dx; y += dy; }
      const bin = at(x, y);
      if (bin < 0) return;
      let run = 0;
      while (at(x + dx * (run + 1), y + dy * (run + 1)) === bin) run++;
      choose(bin, { x: x + dx * (run >> 1), y: y + dy * (run >> 1) });
    }
    function beside(by) {
      let bin = chosen < 0 && by < 0 ? bins : chosen;
      do { bin += by; } while (bin >= 0 && bin < bins && !boxes[bin]);
      if (bin >= 0 && bin < bins) choose(bin);
    }
    const keys = { ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1),
      ArrowDown: () => step(0, 1), PageUp: () => beside(-1), PageDown: () => beside(1), Home: () => choose(0),
      End: () => choose(bins - 1), Enter: toRow, "+": () => enlarge(1.5), "-": () => enlarge(1 / 1.5) };
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });

    function enlarge(by) {
      const x = (viewport.scrollLeft + viewport.clientWidth / 2) / stage.clientWidth;
      const y = (viewport.scrollTop + viewport.clientHeight / 2) / stage.clientHeight;
      zoom = Math.max(1, Math.min(16, zoom * by));
      size();
      viewport.scrollLeft = x * stage.clientWidth - viewport.clientWidth / 2;
      viewport.scrollTop = y * stage.clientHeight - viewport.clientHeight / 2;
    }

    byId("previous").addEventListener("click", () => beside(-1));
    byId("next").addEventListener("click", () => beside(1));
    byId("in").addEventListener("click", () => enlarge(1.5));
    byId("out").addEventListener("click", () => enlarge(1 / 1.5));
    byId("to-row").addEventListener("click", toRow);
    byId("number").addEventListener("change", (event) => choose(Math.round(event.target.valueAsNumber)));
    select.addEventListener("change", paint);
    table.tBodies[0].addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (!row) return;
      choose(Number(row.id.slice(4)));
      stage.scrollIntoView({ block: "nearest" });
    });
    addEventListener("resize", size);
    byId("explorer").hidden = false;
    size();
    paint();
    document.documentElement.dataset.map = "ready";
  }
})();
