// What a flame graph shows: nodes in preorder, so that a node's subtree is the run [node, end[node]), and node 0 is
// everything. A cell is a value of one node under one combination of labels.

class FlameTree {
  static KEYS = 8; // labels to filter by

  constructor(data) {
    this.data = data;
    this.count = data.frames.length + 1;
    this.isDifferential = Boolean(data.base);
    this.names = data.names.map(Format.name);
    const files = data.files.map(Format.name);
    this.files = data.file_of.map(file => files[file]);
    this.readNodes(data);
    this.readCells(data);
    this.labels = this.readLabels(data.labels);
  }

  readNodes(data) {
    this.frame = Int32Array.from([-1].concat(data.frames));
    this.depth = new Uint16Array(this.count);
    this.parent = new Int32Array(this.count);
    this.end = new Int32Array(this.count);
    const path = [0];
    for (let node = 1, depth = 0; node < this.count; node++) {
      const last = depth;
      depth += data.depths[node - 1];
      for (let level = depth; level <= last; level++) this.end[path[level]] = node;
      this.depth[node] = depth;
      this.parent[node] = path[depth - 1];
      path[depth] = node;
      path.length = depth + 1;
    }
    for (const node of path) this.end[node] = this.count;
  }

  readCells(data) {
    this.cellNode = new Int32Array(data.cells.length);
    for (let cell = 0, node = 0; cell < data.cells.length; cell++) this.cellNode[cell] = node += data.cells[cell];
  }

  // By key, the texts that it has; "" stands for samples without it.
  readLabels(sets) {
    const labels = new Map();
    for (const set of sets)
      for (let at = 0; at < set.length; at += 2) {
        if (!labels.has(set[at]) && labels.size === FlameTree.KEYS) continue;
        if (!labels.has(set[at])) labels.set(set[at], new Set());
        labels.get(set[at]).add(set[at + 1]);
      }
    for (const [key, texts] of labels)
      if (sets.some(set => textOf(set, key) === "")) texts.add("");
    return labels;
  }

  // `filters`: text by key. Self and total of every node, after and before.
  select(type, filters) {
    const isIn = this.data.labels.map(set => [...filters].every(([key, text]) => textOf(set, key) === text));
    this.unit = this.data.types[type][1];
    [this.self, this.total] = this.sum(this.data.values[type], isIn);
    if (this.isDifferential) [this.selfBase, this.totalBase] = this.sum(this.data.base[type], isIn);
  }

  sum(values, isIn) {
    const self = new Float64Array(this.count);
    for (let cell = 0; cell < values.length; cell++)
      if (isIn[this.data.sets[cell]]) self[this.cellNode[cell]] += values[cell];
    const total = self.slice();
    for (let node = this.count - 1; node > 0; node--) total[this.parent[node]] += total[node];
    return [self, total];
  }

  // Makes what was before as large as what is after, so that shares are compared.
  scaleBase() {
    if (!this.isDifferential || !this.totalBase[0] || !this.total[0]) return;
    const scale = this.total[0] / this.totalBase[0];
    for (let node = 0; node < this.count; node++) {
      this.selfBase[node] *= scale;
      this.totalBase[node] *= scale;
    }
  }

  // `widths`: "after", "before", or "both" added up.
  layOut(widths) {
    const { total, totalBase } = this;
    this.width = widths === "before" ? totalBase : total;
    if (widths === "both") this.width = total.map((value, node) => value + totalBase[node]);
    this.start = new Float64Array(this.count);
    const next = new Float64Array(this.count); // where a node's next child begins
    for (let node = 1; node < this.count; node++) {
      const parent = this.parent[node];
      next[node] = this.start[node] = next[parent];
      next[parent] += this.width[node];
    }
  }

  // From -1, what is gone, over 0, what is the same, to 1, what is new.
  change(node) {
    const [after, before] = [this.total[node], this.totalBase[node]];
    return after === before ? 0 : (after - before) / Math.max(after, before);
  }

  // Which nodes match, and how much of everything that is: a node within one that matches does not count again.
  search(pattern) {
    const isFrameMatch = this.names.map((name, frame) => pattern.test(name) || pattern.test(this.files[frame]));
    const isMatch = new Uint8Array(this.count);
    let matched = 0, nodes = 0, counted = 0;
    for (let node = 1; node < this.count; node++) {
      if (!isFrameMatch[this.frame[node]]) continue;
      isMatch[node] = 1;
      if (this.width[node] > 0) nodes++;
      if (node < counted) continue;
      matched += this.width[node];
      counted = this.end[node];
    }
    return { isMatch, matched, nodes };
  }

  // Functions that have a value of their own; a recursive one's total counts once.
  functions() {
    const [self, total, before] = [0, 1, 2].map(() => new Float64Array(this.names.length));
    const busy = new Int32Array(this.names.length); // until which node a call of it lasts
    for (let node = 1; node < this.count; node++) {
      const frame = this.frame[node];
      self[frame] += this.self[node];
      if (this.isDifferential) before[frame] += this.selfBase[node];
      if (node < busy[frame]) continue;
      total[frame] += this.total[node];
      busy[frame] = this.end[node];
    }
    return [...self.keys()].filter(frame => self[frame] || before[frame])
      .map(frame => ({ frame, self: self[frame], total: total[frame], before: before[frame] }));
  }

  nameOf(node) {
    return node ? this.names[this.frame[node]] : "all";
  }

  fileOf(node) {
    return node ? this.files[this.frame[node]] : "";
  }
}

function textOf(set, key) {
  const at = set.findIndex((text, place) => place % 2 === 0 && text === key);
  return at < 0 ? "" : set[at + 1];
}
