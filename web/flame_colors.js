// Colours of frames: a hue for each file, or how much a frame grew or shrank.

class FlameColors {
  static HUES = [212, 30, 158, 268, 348, 92, 52, 185];
  static hueByFile = new Map(); // for all graphs of the page, whatever they filter
  static STEPS = 20;

  constructor(tree, isDark) {
    this.tree = tree;
    this.isDark = isDark;
    this.text = isDark ? "#e8eaee" : "#1c2026";
    this.match = isDark ? "#b44fc0" : "#e39bea";
    this.edge = isDark ? "#ffffff" : "#000000";
    this.rest = isDark ? "#3a3f48" : "#d5d8dd";
    for (const { file } of this.heaviestFiles()) this.learn(file);
    this.byFrame = new Array(tree.names.length);
    this.byChange = [];
  }

  // The files with the most in functions of their own; as many as there are hues.
  heaviestFiles() {
    const self = new Map();
    for (let node = 1; node < this.tree.count; node++) {
      const file = this.tree.fileOf(node);
      self.set(file, (self.get(file) || 0) + this.tree.self[node]);
    }
    return [...self].map(([file, value]) => ({ file, value })).filter(({ file, value }) => file && value > 0)
      .sort((a, b) => b.value - a.value).slice(0, FlameColors.HUES.length);
  }

  learn(file) {
    const { HUES, hueByFile } = FlameColors;
    if (!hueByFile.has(file) && hueByFile.size < HUES.length) hueByFile.set(file, HUES[hueByFile.size]);
  }

  ofFile(file, shade = 0) {
    const hue = FlameColors.hueByFile.get(file);
    const saturation = hue === undefined ? 12 : this.isDark ? 32 : 58;
    const lightness = this.isDark ? 33 + 5 * shade : 79 + 4 * shade;
    return `hsl(${hue === undefined ? 38 : hue} ${saturation}% ${lightness}%)`;
  }

  ofChange(change) {
    const step = Math.round(change * FlameColors.STEPS);
    return this.byChange[step + FlameColors.STEPS] ??= this.shadeOfChange(step / FlameColors.STEPS);
  }

  shadeOfChange(change) {
    const size = Math.sqrt(Math.abs(change));
    const hue = change > 0 ? 8 : 214;
    if (this.isDark) return `hsl(${hue} ${8 + 52 * size}% ${32 + 8 * size}%)`;
    return `hsl(${hue} ${12 + 68 * size}% ${88 - 20 * size}%)`;
  }

  of(node) {
    if (this.tree.isDifferential) return this.ofChange(this.tree.change(node));
    if (node === 0) return this.rest;
    const frame = this.tree.frame[node];
    return this.byFrame[frame] ??= this.ofFile(this.tree.files[frame], shadeOf(this.tree.names[frame]));
  }
}

// A number from -1 to 1 that goes with a name, so that neighbours differ and the same name looks the same.
function shadeOf(name) {
  let hash = 7;
  for (let at = 0; at < name.length; at++) hash = (hash * 31 + name.charCodeAt(at)) | 0;
  return ((hash >>> 4) % 9 - 4) / 4;
}
