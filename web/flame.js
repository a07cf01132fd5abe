// A flame graph on a canvas, with its controls.

class Flame {
  static ROW = 19;      // pixels
  static TOP = 50;      // functions in the table
  static SLIVER = 0.5;  // what is narrower is drawn as a hairline, without what it calls

  constructor(data) {
    this.tree = new FlameTree(data);
    this.filters = new Map();
    this.type = data.type;
    this.widths = this.tree.isDifferential ? "both" : "after";
    this.isIcicle = true;
    this.isScaled = false;
    this.focus = this.selected = 0;
    this.hovered = -1;
    this.trail = [];
    this.found = null;
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.build(data);
    this.recompute();
    this.scheme.addEventListener("change", () => this.recolor());
    new ResizeObserver(() => this.fit()).observe(this.scroll);
  }

  // The elements

  build(data) {
    this.canvas = element("canvas", { className: "flame-canvas", tabIndex: 0 });
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label",
      `Flame graph, ${data.name || data.types[data.type][0]}. Arrow keys move, Enter zooms, Backspace goes back.`);
    this.pointer = element("div", { className: "mark", hidden: true });
    this.cursor = element("div", { className: "mark cursor", hidden: true });
    this.sizer = element("div", { className: "flame-sizer" }, this.canvas, this.pointer, this.cursor);
    this.scroll = element("div", { className: "flame-scroll" }, this.sizer);
    this.tooltip = element("div", { className: "tooltip", hidden: true });
    this.status = element("output", { className: "flame-status" });
    this.status.setAttribute("aria-live", "polite");
    this.share = element("output", { className: "flame-share" });
    this.legend = element("div", { className: "legend" });
    this.element = element("section", { className: "flame" });
    if (data.name) this.element.append(element("h2", { textContent: data.name }));
    this.element.append(this.buildControls(data), element("div", { className: "flame-line" }, this.status, this.share),
      this.scroll, this.legend, ...this.buildNotes(data), this.buildTop(), this.tooltip);
    this.listen();
  }

  buildControls(data) {
    this.input = element("input", { type: "search", placeholder: "Search: a regular expression", spellcheck: false });
    this.input.setAttribute("aria-label", "Search");
    this.input.addEventListener("input", () => this.search(this.input.value));
    const controls = element("div", { className: "controls" }, this.input);
    if (data.types.length > 1)
      controls.append(choice("Value", data.types.map(([type], at) => [String(at), type]), String(this.type),
        at => this.setType(Number(at))));
    for (const [key, texts] of this.tree.labels) controls.append(this.buildFilter(key, texts));
    if (this.tree.isDifferential)
      controls.append(choice("Widths", [["both", "before + after"], ["after", "after"], ["before", "before"]],
        this.widths, widths => this.setWidths(widths)),
      check("compare shares", isScaled => this.setScaled(isScaled)));
    this.back = button("Back", () => this.goBack());
    this.reset = button("Reset", () => this.goHome());
    this.turn = button("Flames up", () => this.setIcicle(!this.isIcicle));
    controls.append(element("span", { className: "buttons" }, this.turn, this.back, this.reset));
    return controls;
  }

  buildFilter(key, texts) {
    const sorted = [...texts].sort((a, b) => a.localeCompare(b, "en", { numeric: true })).slice(0, 500);
    const options = sorted.map((text, at) => [String(at), text === "" ? "none" : Format.name(text)]);
    const onChange = at => this.setFilter(key, at === "" ? null : sorted[at]);
    return choice(Format.name(key), [["", "any"], ...options], "", onChange);
  }

  buildNotes(data) {
    const notes = [];
    if (data.folded)
      notes.push(`${Format.count(data.folded)} of the smallest frames are folded into what called them.`);
    if (data.lost) notes.push(`${Format.count(data.lost)} additions found no room in the profile.`);
    return notes.map(text => element("p", { className: "note", textContent: text }));
  }

  buildTop() {
    const title = this.tree.isDifferential ? "What changed most" : "Heaviest functions";
    this.top = element("details", { className: "top" }, element("summary", { textContent: title }));
    this.top.addEventListener("toggle", () => this.fillTop());
    return this.top;
  }

  fillTop() {
    this.top.querySelector("table")?.remove();
    if (!this.top.open) return;
    this.top.append(this.tree.isDifferential ? this.tableOfChange() : this.tableOfSelf());
  }

  tableOfSelf() {
    const { tree } = this, all = tree.total[0];
    const functions = tree.functions().sort((a, b) => b.self - a.self).slice(0, Flame.TOP);
    return table(["self", "%", "total", "%", "function", "file"], functions.map(({ frame, self, total }) => [
      Format.value(self, tree.unit), Format.percent(self, all), Format.value(total, tree.unit),
      Format.percent(total, all), tree.names[frame], tree.files[frame]]));
  }

  tableOfChange() {
    const { tree } = this, change = ({ self, before }) => self - before;
    const functions = tree.functions().sort((a, b) => Math.abs(change(b)) - Math.abs(change(a))).slice(0, Flame.TOP);
    return table(["change of self", "before", "after", "function", "file"], functions.map(row => [
      Format.signed(change(row), tree.unit), Format.value(row.before, tree.unit), Format.value(row.self, tree.unit),
      tree.names[row.frame], tree.files[row.frame]]));
  }

  listen() {
    this.canvas.addEventListener("mousemove", event => this.hover(event));
    this.canvas.addEventListener("mouseleave", () => this.hover(null));
    this.canvas.addEventListener("click", event => this.onClick(event));
    this.canvas.addEventListener("keydown", event => this.onKey(event));
    this.canvas.addEventListener("focus", () => this.showMarks());
    this.canvas.addEventListener("blur", () => this.showMarks());
    this.scroll.addEventListener("scroll", () => this.draw());
    this.input.addEventListener("keydown", event => {
      if (event.key === "Escape") this.setSearch("");
    });
  }

  // What is shown

  setType(type) {
    this.type = type;
    this.recompute();
  }

  setFilter(key, text) {
    if (text === null) this.filters.delete(key);
    else this.filters.set(key, text);
    this.recompute();
  }

  setWidths(widths) {
    this.widths = widths;
    this.recompute();
  }

  setScaled(isScaled) {
    this.isScaled = isScaled;
    this.recompute();
  }

  setIcicle(isIcicle) {
    this.isIcicle = isIcicle;
    this.turn.textContent = isIcicle ? "Flames up" : "Icicles down";
    this.draw();
    this.scroll.scrollTop = isIcicle ? 0 : this.sizer.offsetHeight;
    this.draw();
  }

  setSearch(text) {
    this.input.value = text;
    this.search(text);
  }

  recompute() {
    this.tree.select(this.type, this.filters);
    if (this.isScaled) this.tree.scaleBase();
    this.tree.layOut(this.widths);
    this.show(this.focus);
    this.recolor();
    this.fillTop();
    this.search(this.input.value);
  }

  recolor() {
    this.colors = new FlameColors(this.tree, this.scheme.matches);
    this.legend.replaceChildren(...(this.tree.isDifferential ? this.legendOfChange() : this.legendOfFiles()));
    this.draw();
  }

  legendOfChange() {
    const steps = [-1, -0.5, -0.2, 0, 0.2, 0.5, 1].map(change =>
      element("i", { className: "swatch", style: `background:${this.colors.ofChange(change)}` }));
    return [element("span", { textContent: "gone, shrank" }), element("span", { className: "ramp" }, ...steps),
      element("span", { textContent: "grew, new" })];
  }

  legendOfFiles() {
    return this.colors.heaviestFiles().map(({ file, value }) => element("span", { className: "entry" },
      element("i", { className: "swatch", style: `background:${this.colors.ofFile(file)}` }),
      `${file} ${Format.percent(value, this.tree.total[0])}`));
  }

  search(text) {
    this.found = null;
    this.share.textContent = "";
    const pattern = text && patternOf(text);
    this.input.classList.toggle("is-wrong", pattern === null);
    if (pattern === null) this.share.textContent = "not a regular expression";
    if (pattern) {
      this.found = this.tree.search(pattern);
      this.share.textContent = `${Format.percent(this.found.matched, this.tree.width[0])} matches, ` +
        `${Format.count(this.found.nodes)} frames`;
    }
    this.draw();
  }

  // Zoom

  zoom(node) {
    if (node === this.focus) return;
    this.trail.push(this.focus);
    this.show(node);
  }

  goBack() {
    if (this.trail.length) this.show(this.trail.pop());
  }

  goHome() {
    this.trail = [];
    this.show(0);
  }

  show(node) {
    while (node && !this.tree.width[node]) node = this.tree.parent[node]; // a filter took it away
    this.focus = this.selected = node;
    this.hovered = -1;
    this.tooltip.hidden = true;
    this.draw();
  }

  // Drawing

  get scale() {
    return this.pixels / (this.tree.width[this.focus] || 1);
  }

  // A frame's place from the left, and its width, in pixels. What calls the focus is as wide as all.
  boxOf(node) {
    const { start, width, end } = this.tree;
    if (node < this.focus && end[node] > this.focus) return [0, this.pixels];
    return [(start[node] - start[this.focus]) * this.scale, width[node] * this.scale];
  }

  // Calls visit(node, x, width) for every frame that shows; those narrower than a sliver come without what they call.
  walk(visit) {
    const { start, width, end, parent } = this.tree;
    const { focus, scale } = this, left = start[focus];
    for (let node = focus; node; ) visit(node = parent[node], 0, this.pixels);
    for (let node = focus; node < end[focus]; ) {
      const pixels = width[node] * scale;
      if (pixels > 0) visit(node, (start[node] - left) * scale, pixels);
      node = pixels < Flame.SLIVER ? end[node] : node + 1;
    }
  }

  countRows() {
    let rows = 1;
    this.walk((node, x, width) => {
      if (width >= Flame.SLIVER && this.tree.depth[node] >= rows) rows = this.tree.depth[node] + 1;
    });
    return rows;
  }

  rowTop(node) {
    const depth = this.tree.depth[node];
    return (this.isIcicle ? depth : this.rows - 1 - depth) * Flame.ROW;
  }

  fit() {
    if (this.scroll.clientWidth !== this.pixels || this.scroll.clientHeight !== this.height) this.draw();
  }

  draw() {
    this.pixels = this.scroll.clientWidth;
    if (!this.colors || !this.pixels) return;
    this.rows = this.countRows();
    this.sizer.style.height = `${this.rows * Flame.ROW}px`;
    this.height = this.scroll.clientHeight;
    this.pixels = this.scroll.clientWidth; // a scroll bar may have come or gone
    const context = fitCanvas(this.canvas, this.pixels, this.height);
    context.clearRect(0, 0, this.pixels, this.height);
    context.font = "11.5px ui-monospace, 'SF Mono', Menlo, 'DejaVu Sans Mono', monospace";
    context.textBaseline = "middle";
    this.letter = context.measureText("mmmmmmmmmm").width / 10;
    this.drawFrames(context);
    this.showMarks();
    this.back.disabled = !this.trail.length;
    this.reset.disabled = !this.focus && !this.trail.length;
  }

  drawFrames(context) {
    const { scrollTop } = this.scroll;
    const hairlines = new Int32Array(this.rows + 1).fill(-1);
    this.drawn = 0;
    this.walk((node, x, width) => {
      const y = this.rowTop(node) - scrollTop;
      if (y <= -Flame.ROW || y >= this.height || this.tree.depth[node] >= this.rows) return;
      if (width < Flame.SLIVER) {
        const column = Math.floor(x);
        if (hairlines[this.tree.depth[node]] === column) return;
        hairlines[this.tree.depth[node]] = column;
      }
      this.drawn++;
      this.drawFrame(context, node, x, y, width);
    });
    context.globalAlpha = 1;
  }

  drawFrame(context, node, x, y, width) {
    const isMatch = this.found && this.found.isMatch[node];
    const isFaint = (this.found && !isMatch) || this.tree.depth[node] < this.tree.depth[this.focus];
    context.globalAlpha = isFaint ? 0.45 : 1;
    context.fillStyle = isMatch ? this.colors.match : this.colors.of(node);
    context.fillRect(x, y, width > 3 ? width - 1 : width, Flame.ROW - 1);
    const letters = Math.floor((width - 8) / this.letter);
    if (letters < 3) return;
    const name = this.tree.nameOf(node);
    const text = name.length <= letters ? name : `${name.slice(0, letters - 1)}…`;
    context.globalAlpha = isFaint ? 0.75 : 1;
    context.fillStyle = this.colors.text;
    context.fillText(text, Math.max(x, 0) + 4, y + Flame.ROW / 2, width - 6);
  }

  // Around the frame under the mouse, and the one that the keys are at.
  showMarks() {
    this.placeMark(this.pointer, this.hovered);
    this.placeMark(this.cursor, document.activeElement === this.canvas ? this.selected : -1);
    this.describe();
  }

  placeMark(mark, node) {
    mark.hidden = node < 0;
    if (node < 0) return;
    const [x, width] = this.boxOf(node);
    Object.assign(mark.style, { left: `${x}px`, top: `${this.rowTop(node)}px`, width: `${Math.max(width - 1, 2)}px` });
  }

  describe() {
    const node = this.hovered >= 0 ? this.hovered : this.selected;
    const { tree } = this, all = tree.total[0];
    const text = [tree.nameOf(node), Format.value(tree.total[node], tree.unit)];
    if (node) text.push(`${Format.percent(tree.total[node], all)} of all`);
    if (tree.isDifferential) text.push(Format.signed(tree.total[node] - tree.totalBase[node], tree.unit));
    if (tree.self[node]) text.push(`self ${Format.value(tree.self[node], tree.unit)}`);
    this.status.textContent = text.join("  ·  ");
  }

  // Mouse and keys

  // The node at a place of the canvas; -1: none.
  nodeAt(x, y) {
    const row = Math.floor((y + this.scroll.scrollTop) / Flame.ROW);
    const depth = this.isIcicle ? row : this.rows - 1 - row;
    let node = this.focus;
    while (node && this.tree.depth[node] > depth) node = this.tree.parent[node];
    while (node >= 0 && this.tree.depth[node] < depth) node = this.childAt(node, x);
    return node;
  }

  childAt(node, x) {
    const found = this.children(node).find(child => {
      const [left, width] = this.boxOf(child);
      return x >= left && x < left + width;
    });
    return found !== undefined && this.boxOf(found)[1] >= Flame.SLIVER ? found : -1;
  }

  hover(event) {
    const node = event ? this.nodeAt(event.offsetX, event.offsetY) : -1;
    if (node !== this.hovered) {
      this.hovered = node;
      this.showMarks();
      if (node >= 0) this.tooltip.replaceChildren(...this.tipOf(node));
    }
    this.tooltip.hidden = node < 0;
    if (node >= 0) placeTooltip(this.tooltip, event.clientX, event.clientY);
  }

  tipOf(node) {
    const { tree } = this, rows = [];
    const row = (label, value, all) => rows.push([label, Format.value(value, tree.unit), Format.percent(value, all)]);
    if (tree.isDifferential) {
      row("before", tree.totalBase[node], tree.totalBase[0]);
      row("after", tree.total[node], tree.total[0]);
      const change = tree.total[node] - tree.totalBase[node];
      const part = tree.totalBase[node] ? Format.signed(100 * change / tree.totalBase[node], "percent") : "new";
      rows.push(["change", Format.signed(change, tree.unit), tree.total[node] ? part : "gone"]);
      rows.push(["change of self", Format.signed(tree.self[node] - tree.selfBase[node], tree.unit), ""]);
    } else {
      row("total", tree.total[node], tree.total[0]);
      row("self", tree.self[node], tree.total[0]);
      if (this.focus) row("of the shown", tree.total[node], tree.total[this.focus]);
    }
    return [element("strong", { textContent: tree.nameOf(node) }),
      element("span", { className: "file", textContent: tree.fileOf(node) }), table([], rows)];
  }

  onClick(event) {
    const node = this.nodeAt(event.offsetX, event.offsetY);
    if (node >= 0) this.zoom(node);
  }

  onKey(event) {
    const away = this.isIcicle ? "ArrowDown" : "ArrowUp", home = this.isIcicle ? "ArrowUp" : "ArrowDown";
    const moves = {
      [away]: () => this.select(this.widestChild(this.selected)),
      [home]: () => this.select(this.tree.parent[this.selected]),
      ArrowRight: () => this.select(this.sibling(1)),
      ArrowLeft: () => this.select(this.sibling(-1)),
      Enter: () => this.zoom(this.selected),
      " ": () => this.zoom(this.selected),
      Backspace: () => this.goBack(),
      Escape: () => (this.focus ? this.goHome() : this.setSearch("")),
    };
    if (!moves[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    moves[event.key]();
  }

  select(node) {
    this.selected = node;
    if (node < this.focus || node >= this.tree.end[this.focus]) this.show(node);
    const row = this.isIcicle ? this.tree.depth[node] : this.rows - 1 - this.tree.depth[node];
    const y = row * Flame.ROW, { scrollTop, clientHeight } = this.scroll;
    if (y < scrollTop) this.scroll.scrollTop = y;
    if (y + Flame.ROW > scrollTop + clientHeight) this.scroll.scrollTop = y + Flame.ROW - clientHeight;
    this.draw();
  }

  children(node) {
    const { end, width } = this.tree, children = [];
    for (let child = node + 1; child < end[node]; child = end[child]) if (width[child] > 0) children.push(child);
    return children;
  }

  widestChild(node) {
    const { width } = this.tree;
    const isWider = (child, best) => best === node || width[child] > width[best];
    return this.children(node).reduce((best, child) => (isWider(child, best) ? child : best), node);
  }

  sibling(step) {
    if (!this.selected) return 0;
    const siblings = this.children(this.tree.parent[this.selected]);
    return siblings[siblings.indexOf(this.selected) + step] ?? this.selected;
  }
}

// Upper case in the text asks for it. null: not a regular expression.
function patternOf(text) {
  try {
    return new RegExp(text, text === text.toLowerCase() ? "i" : "");
  } catch {
    return null;
  }
}
