// Three charts of the overview, by uPlot. The server keeps ten minutes.
const kept = 600;
const dark = matchMedia("(prefers-color-scheme: dark)");
const colors = () => (dark.matches ? ["#4cc0d4", "#7bd99a", "#ff9a9a", "#f3c969", "#b99cff", "#ff9ed2", "#9cc2ff", "#8fd6b8", "#c4cdd5"] : ["#0b7285", "#2b8a3e", "#c92a2a", "#b36b00", "#6741d9", "#c2255c", "#1864ab", "#087f5b", "#55626f"]);

export function charts(root) {
  if (!root || !window.uPlot) return null;
  let samples = JSON.parse(root.dataset.charts || "[]") ?? [];
  root.hidden = false;
  let plots = [];
  const marks = () => samples.filter((s, i) => i > 0 && s.term !== samples[i - 1].term && samples[i - 1].leader);

  // A dashed line with the name of who leads from then on.
  const failovers = {
    hooks: {
      draw: (u) => {
        const { ctx } = u;
        ctx.save();
        ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
        ctx.strokeStyle = ctx.fillStyle = colors()[3];
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        for (const s of marks()) {
          const x = Math.round(u.valToPos(s.t, "x", true));
          ctx.beginPath();
          ctx.moveTo(x, u.bbox.top);
          ctx.lineTo(x, u.bbox.top + u.bbox.height);
          ctx.stroke();
          ctx.fillText(s.leader, x + 4 * devicePixelRatio, u.bbox.top + 11 * devicePixelRatio);
        }
        ctx.restore();
      },
    },
  };

  const queues = () => [...new Set(samples.flatMap((s) => Object.keys(s.running ?? {})))].slice(0, 9);
  const kinds = [
    { id: "chart-done", names: () => ["succeeded", "submitted", "died"], get: (s) => [s.done, s.in, s.bad], unit: (v) => (v >= 1000 ? v / 1000 + "k" : String(v)) },
    { id: "chart-oldest", names: () => ["seconds"], get: (s) => [s.oldest], unit: (v) => v + " s" },
    { id: "chart-running", names: queues, get: (s, names) => names.map((q) => s.running?.[q] ?? 0), unit: String },
  ];

  const data = (kind, names) => [samples.map((s) => s.t), ...names.map((_, i) => samples.map((s) => kind.get(s, names)[i]))];

  function build() {
    for (const p of plots) p.plot.destroy();
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.getPropertyValue("--dim"), grid: { stroke: style.getPropertyValue("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    plots = kinds.map((kind) => {
      const at = document.getElementById(kind.id);
      const names = kind.names();
      const plot = new window.uPlot({
        width: at.clientWidth || 320, height: 165, padding: [8, 8, 0, 0], plugins: [failovers], legend: { live: false }, cursor: { show: false },
        scales: { y: { range: (_, min, max) => [0, Math.max(max * 1.15, 1)] }, x: { range: (_, min, max) => [Math.max(min, max - kept), Math.max(max, min + 60)] } },
        axes: [{ ...axis, space: 70, size: 28, values: (_, ts) => ts.map((t) => new Date(t * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })) }, { ...axis, size: 48, values: (_, vs) => vs.map(kind.unit) }],
        series: [{}, ...names.map((label, i) => ({ label, stroke: colors()[i], width: 1.75, fill: i === 0 ? colors()[i] + "22" : undefined, points: { show: false } }))],
      }, data(kind, names), at);
      return { kind, names, plot, at };
    });
  }

  build();
  dark.addEventListener("change", build);
  new ResizeObserver(() => {
    for (const { plot, at } of plots) if (at.clientWidth && Math.abs(at.clientWidth - plot.width) > 1) plot.setSize({ width: at.clientWidth, height: 165 });
  }).observe(root);

  return {
    add(sample) {
      if (samples.length && sample.t <= samples.at(-1).t) return;
      samples.push(sample);
      if (samples.length > kept) samples.shift();
      if (kinds[2].names().join() !== plots[2].names.join()) build();
      else for (const { kind, names, plot } of plots) plot.setData(data(kind, names));
    },
  };
}
