"use strict";
// The page of a map. Places are in pixels of the map, from its upper left corner; the view says
// which place lies in the middle of the stage, and how many CSS pixels a pixel of the map has.
// Pixels come in levels of one tile or many: embedded in the page, or from a server.
(() => {
  const NODATA = 255;
  const MOST_TILES = 240;
  const byId = (id) => document.getElementById(id);
  const map = JSON.parse(byId("data").textContent);
  const classes = new Map(map.classes.map((entry) => [entry.value, entry]));
  const hidden = new Set();
  const [stage, canvas] = [byId("stage"), byId("map")];
  const context = canvas.getContext("2d");
  const above = document.createElement("canvas").getContext("2d");
  const view = { x: map.width / 2, y: map.height / 2, scale: 1, fitted: true };
  const state = { layer: "classes", swipe: map.scene ? 0.5 : 0, opacity: 1, colors: 0, pixel: null };
  let size = { width: 1, height: 1, ratio: 1 };

  // ---- pixels: a PNG's own numbers, since a canvas may round colors or blur them on purpose

  async function inflated(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** Values of a PNG of one byte a pixel, gray or by palette. */
  async function decodePng(bytes) {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const parts = [];
    let [width, height] = [0, 0];
    for (let at = 8; at + 12 <= bytes.length; ) {
      const length = words.getUint32(at);
      const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
      if (kind === "IHDR") {
        width = words.getUint32(at + 8);
        height = words.getUint32(at + 12);
        const [depth, color, , , interlaced] = bytes.subarray(at + 16, at + 21);
        if (depth !== 8 || (color !== 0 && color !== 3) || interlaced) throw new Error("an unexpected kind of PNG");
      } else if (kind === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
      at += length + 12;
    }
    const rows = await inflated(await new Blob(parts).arrayBuffer());
    if (rows.length !== (width + 1) * height) throw new Error("a PNG that is cut off");
    const values = new Uint8Array(width * height);
    for (let row = 0; row < height; row++) {
      const from = row * (width + 1) + 1;
      const line = values.subarray(row * width, (row + 1) * width);
      const up = row ? values.subarray((row - 1) * width, row * width) : new Uint8Array(width);
      unfilter(rows[from - 1], rows.subarray(from, from + width), line, up);
    }
    return { width, height, values };
  }

  function unfilter(kind, source, line, up) {
    if (kind === 0) line.set(source);
    else if (kind === 1) for (let i = 0, left = 0; i < line.length; i++) left = line[i] = source[i] + left;
    else if (kind === 2) for (let i = 0; i < line.length; i++) line[i] = source[i] + up[i];
    else if (kind === 3) for (let i = 0; i < line.length; i++) line[i] = source[i] + (((i ? line[i - 1] : 0) + up[i]) >> 1);
    else if (kind === 4) for (let i = 0; i < line.length; i++) line[i] = source[i] + paeth(i ? line[i - 1] : 0, up[i], i ? up[i - 1] : 0);
    else throw new Error("a PNG filter that does not exist");
  }

  function paeth(left, up, corner) {
    const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
    return a <= b && a <= c ? left : b <= c ? up : corner;
  }

  function embedded(layer) {
    const text = atob(byId(`picture-${layer}`).src.split(",", 2)[1]);
    return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  }

  async function pictureOf(layer, address) {
    const picture = address === null ? byId(`picture-${layer}`) : new Image();
    if (address !== null) picture.src = address;
    await picture.decode();
    return { width: picture.naturalWidth, height: picture.naturalHeight, picture };
  }

  async function valuesOf(layer, address) {
    if (address === null) return decodePng(embedded(layer));
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(await answer.text());
    return decodePng(new Uint8Array(await answer.arrayBuffer()));
  }

  // ---- tiles

  const tiles = new Map();

  /** A tile if it is there; else it is sent for, and the stage is drawn again when it comes. */
  function tileOf(layer, level, col, row) {
    const key = `${layer}/${level.step}/${col}/${row}`;
    let tile = tiles.get(key);
    if (!tile) {
      tile = { ready: false };
      const address = map.served ? `tiles/${key}.png` : null;
      const load = layer === "scene" ? pictureOf : valuesOf;
      load(layer, address).then((found) => {
        Object.assign(tile, found, { ready: true });
        redraw();
      }).catch((error) => {
        tile.failed = true;
        complain(`A part of the map cannot be shown: ${error.message}`);
      });
    } else tiles.delete(key);
    tiles.set(key, tile);
    return tile.ready ? tile : null;
  }

  function forget() {
    for (const key of tiles.keys()) {
      if (tiles.size <= MOST_TILES) return;
      tiles.delete(key);
    }
  }

  function parse(color) {
    const number = parseInt(color.slice(1), 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  }

  const classColors = new Uint8ClampedArray(1024);
  for (const { value, color } of map.classes) classColors.set([...parse(color), 255], value * 4);
  const rampColors = new Uint8ClampedArray(1024);
  for (let percent = 0; percent <= 100; percent++) {
    const after = Math.max(1, map.ramp.findIndex(([at]) => at >= percent));
    const [[low, from], [high, to]] = [map.ramp[after - 1], map.ramp[after]];
    const part = (percent - low) / (high - low);
    const [first, last] = [parse(from), parse(to)];
    rampColors.set([...first.map((value, band) => value + part * (last[band] - value)), 255], percent * 4);
  }

  /** A tile in colors, without the classes that are hidden; `kinds` holds the classes beneath. */
  function colored(tile, kinds, colors) {
    if (tile.picture && tile.colors === state.colors) return tile.picture;
    const picture = tile.picture ?? document.createElement("canvas");
    if (!tile.picture) Object.assign(picture, { width: tile.width, height: tile.height });
    const shown = new Uint8Array(256);
    for (const value of classes.keys()) shown[value] = hidden.has(value) ? 0 : 1;
    const image = new ImageData(tile.width, tile.height);
    const pixels = new Uint32Array(image.data.buffer);
    const table = new Uint32Array(colors.buffer);
    for (let i = 0; i < pixels.length; i++) if (shown[kinds.values[i]]) pixels[i] = table[tile.values[i]];
    picture.getContext("2d").putImageData(image, 0, 0);
    Object.assign(tile, { picture, colors: state.colors });
    return picture;
  }

  function pictureAt(layer, level, col, row) {
    const tile = tileOf(layer, level, col, row);
    if (layer === "scene") return tile && tile.picture;
    const kinds = layer === "classes" ? tile : tileOf("classes", level, col, row);
    return tile && kinds && colored(tile, kinds, layer === "classes" ? classColors : rampColors);
  }

  // ---- drawing

  let waiting = false;

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
      forget();
    });
  }

  function draw() {
    const split = map.scene ? state.swipe * size.width : 0;
    begin(context);
    if (map.scene) paint(context, "scene");
    begin(above);
    paint(above, state.layer);
    const { ratio } = size;
    const edge = Math.round(split * ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = state.opacity;
    if (edge < canvas.width) {
      const wide = canvas.width - edge;
      context.drawImage(above.canvas, edge, 0, wide, canvas.height, edge, 0, wide, canvas.height);
    }
    context.globalAlpha = 1;
    byId("divider").style.transform = `translateX(${split}px)`;
    placeMarker();
    placeScale();
  }

  function begin(target) {
    target.setTransform(1, 0, 0, 1, 0, 0);
    target.clearRect(0, 0, canvas.width, canvas.height);
  }

  /** Device pixels of a place. */
  const across = (x) => Math.round(((x - view.x) * view.scale + size.width / 2) * size.ratio);
  const down = (y) => Math.round(((y - view.y) * view.scale + size.height / 2) * size.ratio);

  function paint(target, layer) {
    const wanted = map.levels.findLastIndex((level) => level.step * view.scale * size.ratio <= 1.2);
    const finest = Math.max(0, wanted);
    const [left, top] = [across(0), down(0)];
    target.save();
    target.beginPath();
    // However thin a map is, it does not vanish.
    target.rect(left, top, Math.max(1, across(map.width) - left), Math.max(1, down(map.height) - top));
    target.clip();
    if (!paintLevel(target, layer, finest)) {
      // Coarser levels stand in for what has not come yet.
      for (let index = map.levels.length - 1; index >= finest; index--) paintLevel(target, layer, index);
    }
    target.restore();
  }

  /** Draw the tiles of a level that are there; true when all are. */
  function paintLevel(target, layer, index) {
    const level = map.levels[index];
    const [wideCell, highCell] = level.cell;
    const [wideTile, highTile] = [map.tile * wideCell, map.tile * highCell];
    const cell = Math.max(wideCell, highCell) * view.scale * size.ratio;
    target.imageSmoothingEnabled = cell < (layer === "scene" ? 2 : 1);
    target.imageSmoothingQuality = "high";
    const half = { x: size.width / view.scale / 2, y: size.height / view.scale / 2 };
    const firstCol = Math.max(0, Math.floor((view.x - half.x) / wideTile));
    const firstRow = Math.max(0, Math.floor((view.y - half.y) / highTile));
    const lastCol = Math.min(Math.ceil(level.columns / map.tile) - 1, Math.floor((view.x + half.x) / wideTile));
    const lastRow = Math.min(Math.ceil(level.rows / map.tile) - 1, Math.floor((view.y + half.y) / highTile));
    let whole = true;
    for (let row = firstRow; row <= lastRow; row++) {
      for (let col = firstCol; col <= lastCol; col++) {
        const picture = pictureAt(layer, level, col, row);
        if (!picture) {
          whole = false;
          continue;
        }
        const [x, y] = [across(col * wideTile), down(row * highTile)];
        // What is in the page covers the level whole; the scene's resolution may be another.
        const high = map.served ? (picture.naturalHeight ?? picture.height) : level.rows;
        const wide = map.served ? (picture.naturalWidth ?? picture.width) : level.columns;
        const width = Math.max(1, across(col * wideTile + wide * wideCell) - x);
        const height = Math.max(1, down(row * highTile + high * highCell) - y);
        target.clearRect(x, y, width, height);
        target.drawImage(picture, x, y, width, height);
      }
    }
    return whole;
  }

  function placeMarker() {
    const marker = byId("marker");
    marker.hidden = !state.pixel;
    if (!state.pixel) return;
    const x = (state.pixel.column + 0.5 - view.x) * view.scale + size.width / 2;
    const y = (state.pixel.row + 0.5 - view.y) * view.scale + size.height / 2;
    marker.style.transform = `translate(${x}px, ${y}px)`;
  }

  function placeScale() {
    const bar = byId("scale");
    bar.hidden = !map.meters;
    if (!map.meters) return;
    const most = (Math.min(160, size.width / 3) / view.scale) * map.meters;
    const power = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((digit) => digit * power).find((meters) => meters <= most);
    bar.style.width = `${(length / map.meters) * view.scale}px`;
    bar.style.minWidth = "0";
    const text = length >= 1000 ? `${length / 1000} km` : length >= 1 ? `${length} m` : `${+(length * 100).toPrecision(2)} cm`;
    byId("scale-text").textContent = text;
  }

  // ---- the view

  const fitScale = () => Math.min(size.width / map.width, size.height / map.height) * 0.94;

  function show(x, y, scale, fitted = false) {
    const least = Math.min(fitScale() / 2, 1);
    view.scale = Math.min(Math.max(scale, least), Math.max(48, fitScale()));
    view.x = Math.min(Math.max(x, 0), map.width);
    view.y = Math.min(Math.max(y, 0), map.height);
    view.fitted = fitted;
    redraw();
  }

  const fit = () => show(map.width / 2, map.height / 2, fitScale(), true);

  /** Zoom so that the place under a point of the stage stays there. */
  function zoom(factor, left = size.width / 2, top = size.height / 2) {
    const before = view.scale;
    const [x, y] = placeAt(left, top);
    const least = Math.min(fitScale() / 2, 1);
    const scale = Math.min(Math.max(before * factor, least), Math.max(48, fitScale()));
    show(x - (left - size.width / 2) / scale, y - (top - size.height / 2) / scale, scale);
  }

  const move = (right, below) => show(view.x + right / view.scale, view.y + below / view.scale, view.scale);

  function placeAt(left, top) {
    return [view.x + (left - size.width / 2) / view.scale, view.y + (top - size.height / 2) / view.scale];
  }

  function resize() {
    const box = stage.getBoundingClientRect();
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    size = { width: Math.max(1, box.width), height: Math.max(1, box.height), ratio };
    for (const target of [canvas, above.canvas]) {
      target.width = Math.round(size.width * ratio);
      target.height = Math.round(size.height * ratio);
    }
    if (view.fitted) fit();
    else show(view.x, view.y, view.scale);
  }

  // ---- reading pixels

  /** Read the pixel at a place, and tell of it. */
  async function read(x, y) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    if (column < 0 || row < 0 || column >= map.width || row >= map.height) {
      state.pixel = null;
      tell(null);
      redraw();
      return;
    }
    try {
      state.pixel = map.served ? await asked(column, row) : await looked(column, row);
      tell(state.pixel);
    } catch (error) {
      complain(`The pixel cannot be read: ${error.message}`);
    }
    redraw();
  }

  async function asked(column, row) {
    const answer = await fetch(`pixel?column=${column}&row=${row}`);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  /** The page holds every so many pixels of the map: the answer is one of those. */
  async function looked(column, row) {
    const { step, offset, columns } = map.levels[0];
    const [i, j] = [Math.floor(row / step), Math.floor(column / step)];
    const at = i * columns + j;
    const kinds = await loaded("classes");
    const percent = map.confidence ? await loaded("confidence") : null;
    return {
      column: Math.min(j * step + offset, map.width - 1),
      row: Math.min(i * step + offset, map.height - 1),
      class: kinds.values[at],
      confidence: percent ? percent.values[at] : NODATA,
    };
  }

  async function loaded(layer) {
    const level = map.levels[0];
    for (;;) {
      const tile = tileOf(layer, level, 0, 0);
      if (tile) return tile;
      if (tiles.get(`${layer}/${level.step}/0/0`).failed) throw new Error("its picture is damaged");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Longitude and latitude of a place, from points of a lattice around it. */
  function onEarth(x, y) {
    const lattice = map.lonlat;
    if (!lattice) return null;
    const [u, v] = [(x / map.width) * (lattice.columns - 1), (y / map.height) * (lattice.rows - 1)];
    const [j, i] = [Math.min(Math.floor(u), lattice.columns - 2), Math.min(Math.floor(v), lattice.rows - 2)];
    const [right, below] = [u - j, v - i];
    const mean = (values) => {
      const [a, b, c, d] = [0, 1, lattice.columns, lattice.columns + 1].map((k) => values[i * lattice.columns + j + k]);
      if ([a, b, c, d].includes(null)) return null;
      return (a * (1 - right) + b * right) * (1 - below) + (c * (1 - right) + d * right) * below;
    };
    const [longitude, latitude] = [mean(lattice.longitudes), mean(lattice.latitudes)];
    if (longitude === null || latitude === null) return null;
    return [((((longitude + 180) % 360) + 360) % 360) - 180, latitude];
  }

  function element(name, text, kind) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function tell(pixel) {
    const readout = byId("readout");
    for (const key of Object.keys(readout.dataset)) delete readout.dataset[key];
    if (!pixel) {
      readout.replaceChildren(element("p", "Outside the map.", "hint"));
      return;
    }
    const entry = classes.get(pixel.class);
    const name = element("p", undefined, "name");
    if (entry) {
      const chip = element("span", undefined, "chip");
      chip.style.background = entry.color;
      name.append(chip);
    }
    name.append(element("span", entry ? entry.name : pixel.class === NODATA ? "No data" : `Class ${pixel.class}`));
    const list = document.createElement("dl");
    const say = (term, text) => list.append(element("dt", term), element("dd", text));
    if (entry && pixel.confidence !== NODATA) say("Confidence", `${pixel.confidence} %`);
    const [x, y] = [pixel.column + 0.5, pixel.row + 0.5];
    Object.assign(readout.dataset, { class: pixel.class, confidence: pixel.confidence, column: pixel.column, row: pixel.row });
    if (map.crs) {
      const [a, b, c, d, e, f] = map.transform;
      const place = [a * x + b * y + c, d * x + e * y + f];
      say(map.crs, place.map((value) => value.toFixed(map.digits)).join(", "));
      [readout.dataset.x, readout.dataset.y] = place;
    }
    const earth = onEarth(x, y);
    if (earth) {
      const [longitude, latitude] = earth;
      say("Lon, lat", earth.map((value) => `${value.toFixed(Math.min(6, map.lonlat.digits))}°`).join(", "));
      Object.assign(readout.dataset, { longitude, latitude });
    }
    say("Column, row", `${pixel.column}, ${pixel.row}`);
    readout.replaceChildren(name, list);
  }

  function complain(text) {
    const problem = byId("problem");
    problem.textContent = text;
    problem.hidden = false;
  }

  // ---- mouse, touch and keys

  const pointers = new Map();
  let gesture = null;

  function stagePoint(event) {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  function middle() {
    const all = [...pointers.values()];
    const x = all.reduce((sum, point) => sum + point.x, 0) / all.length;
    const y = all.reduce((sum, point) => sum + point.y, 0) / all.length;
    return { x, y, spread: all.length > 1 ? Math.hypot(all[0].x - all[1].x, all[0].y - all[1].y) : 0 };
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, stagePoint(event));
    gesture = { moved: pointers.size > 1 || gesture?.moved, start: stagePoint(event), last: middle() };
    if (pointers.size === 1) gesture.moved = event.button === 1;
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const point = stagePoint(event);
    pointers.set(event.pointerId, point);
    if (!gesture.moved && Math.hypot(point.x - gesture.start.x, point.y - gesture.start.y) < 5) return;
    gesture.moved = true;
    canvas.classList.add("dragging");
    const now = middle();
    move(gesture.last.x - now.x, gesture.last.y - now.y);
    if (now.spread && gesture.last.spread) zoom(now.spread / gesture.last.spread, now.x, now.y);
    gesture.last = now;
  });

  function lift(event) {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size) {
      gesture.last = middle();
      return;
    }
    canvas.classList.remove("dragging");
    const point = stagePoint(event);
    if (!gesture.moved && event.type === "pointerup") read(...placeAt(point.x, point.y));
    gesture = null;
  }
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);

  canvas.addEventListener("dblclick", (event) => {
    const point = stagePoint(event);
    zoom(2, point.x, point.y);
  });

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = [1, 33, 400][event.deltaMode];
    const turn = Math.max(-240, Math.min(240, event.deltaY * unit)) * (event.ctrlKey ? 4 : 1);
    const point = stagePoint(event);
    zoom(Math.exp(-turn * 0.0018), point.x, point.y);
  }, { passive: false });

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? map.levels[0].step * view.scale : 64;
    const done = () => {
      if (event.key in ARROWS) move(ARROWS[event.key][0] * step, ARROWS[event.key][1] * step);
      else if (event.key === "+" || event.key === "=") zoom(1.5);
      else if (event.key === "-" || event.key === "_") zoom(1 / 1.5);
      else if (event.key === "0" || event.key === "Home") fit();
      else if (event.key === "Enter" || event.key === " ") read(view.x, view.y);
      else if (event.key === "," || event.key === ".") setSwipe(Math.round(state.swipe * 100) + (event.key === "." ? 5 : -5));
      else if (event.key === "c" || event.key === "C") setLayer(state.layer === "classes" ? "confidence" : "classes");
      else if (event.key === "Escape") unmark();
      else return false;
      return true;
    };
    if (done()) event.preventDefault();
  });

  function unmark() {
    state.pixel = null;
    redraw();
  }

  // ---- controls

  function setSwipe(percent) {
    if (!map.scene) return;
    const value = Math.max(0, Math.min(100, percent));
    state.swipe = value / 100;
    byId("swipe").value = value;
    byId("swipe-value").value = `${Math.round(value)} %`;
    redraw();
  }

  function setOpacity(percent) {
    state.opacity = percent / 100;
    byId("opacity-value").value = `${percent} %`;
    redraw();
  }

  function setLayer(layer) {
    if (layer === "confidence" && !map.confidence) return;
    state.layer = layer;
    for (const input of byId("layers").querySelectorAll("input")) input.checked = input.value === layer;
    byId("ramp").hidden = layer !== "confidence";
    byId("right-tag").textContent = layer === "confidence" ? "Confidence" : "Classes";
    redraw();
  }

  function setHidden(value, hide) {
    if (hide) hidden.add(value);
    else hidden.delete(value);
    state.colors += 1;
    redraw();
  }

  const toggles = [...document.querySelectorAll(".legend input")];
  for (const input of toggles) {
    input.checked = true;
    input.addEventListener("change", () => setHidden(Number(input.dataset.value), !input.checked));
  }
  const setAll = (shown) => {
    for (const input of toggles) {
      input.checked = shown;
      setHidden(Number(input.dataset.value), !shown);
    }
  };
  byId("all").addEventListener("click", () => setAll(true));
  byId("none").addEventListener("click", () => setAll(false));
  byId("swipe").addEventListener("input", (event) => setSwipe(Number(event.target.value)));
  byId("opacity").addEventListener("input", (event) => setOpacity(Number(event.target.value)));
  byId("layers").addEventListener("change", (event) => setLayer(event.target.value));
  byId("zoom-in").addEventListener("click", () => zoom(1.6));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 1.6));
  byId("fit").addEventListener("click", fit);
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  const grip = document.querySelector(".grip");
  let grab = null;
  grip.addEventListener("pointerdown", (event) => {
    grip.setPointerCapture(event.pointerId);
    const start = stagePoint(event);
    grab = { start, offset: start.x - state.swipe * size.width, moved: false };
  });
  grip.addEventListener("pointermove", (event) => {
    if (!grab || !grip.hasPointerCapture(event.pointerId)) return;
    const { x, y } = stagePoint(event);
    grab.moved ||= Math.hypot(x - grab.start.x, y - grab.start.y) >= 5;
    if (grab.moved) setSwipe(((x - grab.offset) / size.width) * 100);
  });
  // The handle covers a part of the map: a click on it means the pixel beneath.
  grip.addEventListener("pointerup", () => {
    if (grab && !grab.moved) read(...placeAt(grab.start.x, grab.start.y));
    grab = null;
  });
  grip.addEventListener("pointercancel", () => {
    grab = null;
  });

  if (typeof DecompressionStream === "undefined") {
    complain("This browser is too old to show the map: Chrome 123, Firefox 121 or Safari 17.5 can.");
    return;
  }
  document.documentElement.classList.remove("plain");
  byId("divider").hidden = !map.scene;
  byId("opacity").value = 100; // some browsers remember what it was
  setOpacity(100);
  setSwipe(50);
  setLayer("classes");
  new ResizeObserver(resize).observe(stage);
  resize();
})();
