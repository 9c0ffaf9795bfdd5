// ---- charts ----
let points = [], step = 3000, span = 900000, cross = null;
const charts = [
  { id: 'throughput', title: 'Predictions', unit: 'a second', kind: 'stack', wide: true, format: short, series: Object.keys(outcomes).map(k => ({ k, name: k, color: `var(--${k})` })) },
  { id: 'age', title: 'Age when durable', unit: 'log scale', kind: 'lines', log: true, format: time, series: [{ k: 'p99', name: '99 %', color: 'var(--p99)' }, { k: 'p95', name: '95 %', color: 'var(--p95)' }, { k: 'p50', name: 'median', color: 'var(--p50)' }] },
  { id: 'waiting', title: 'Waiting in the queue', unit: 'messages, as SQS estimates', kind: 'area', format: short, series: [{ k: 'waiting', name: 'waiting', color: 'var(--superseded)' }] },
  { id: 'held', title: 'Held', unit: 'of the limits', kind: 'lines', format: of100, top: 100, series: [{ k: 'heldShare', name: 'messages', color: 'var(--written)' }, { k: 'bytesShare', name: 'bytes', color: 'var(--duplicate)' }] },
  { id: 'writers', title: 'Writers', unit: 'calls at once', kind: 'step', format: short, series: [{ k: 'allowed', name: 'allowed', color: 'var(--written)' }, { k: 'inFlight', name: 'under way', color: 'var(--duplicate)' }] },
  { id: 'fill', title: 'Items a call', unit: 'BatchWriteItem takes 25', kind: 'area', format: short, top: 25, limit: 25, series: [{ k: 'fill', name: 'items a call', color: 'var(--written)' }] },
  { id: 'trouble', title: 'Trouble', unit: 'a second', kind: 'lines', format: short, series: [{ k: 'errors', name: 'calls failed', color: 'var(--failed)' }, { k: 'returned', name: 'items sent back', color: 'var(--superseded)' }] },
];
const total = (c, p) => c.kind === 'stack' ? c.series.reduce((n, s) => n + (p[s.k] || 0), 0) : Math.max(...c.series.map(s => p[s.k] ?? 0));

for (const c of charts) {
  const caption = make('figcaption', {}, make('h3', { id: 'h-' + c.id }, c.title + ' ', make('small', {}, c.unit)));
  c.keys = c.series.length > 1 ? c.series.map(s => {
    const swatch = make('i'); swatch.style.background = s.color;
    const key = make('span', { class: c.kind === 'stack' ? 'key' : 'key line' }, swatch, s.name);
    caption.append(key);
    return key;
  }) : [];
  c.svg = svg('svg', { 'aria-hidden': 'true' });
  c.plot = make('div', { class: 'plot', tabindex: '0', role: 'img', 'aria-labelledby': `h-${c.id} s-${c.id}` }, c.svg);
  c.summary = make('p', { class: 'hidden', id: 's-' + c.id });
  c.body = make('tbody');
  c.table = make('details', {}, make('summary', {}, 'As a table'), make('table', {},
    make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'Time'), ...c.series.map(s => make('th', { scope: 'col', class: 'n' }, s.name)))), c.body));
  c.table.addEventListener('toggle', () => drawTable(c));
  $('charts').append(make('figure', { class: c.wide ? 'chart wide' : 'chart', id: 'chart-' + c.id }, caption, c.plot, c.summary, c.table));
  c.plot.addEventListener('pointermove', e => aim(c, e.clientX - c.plot.getBoundingClientRect().left));
  c.plot.addEventListener('pointerleave', () => look(null));
  c.plot.addEventListener('blur', () => look(null));
  c.plot.addEventListener('keydown', e => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e6, End: 1e6 }[e.key];
    if (e.key === 'Escape') return look(null);
    if (!by || !points.length) return;
    e.preventDefault();
    const at = cross == null ? points.length - 1 + (by < 0 ? 1 : 0) : points.findIndex(p => p.t === cross);
    look(points[Math.max(0, Math.min(points.length - 1, at + by))].t, c, true);
  });
}

// niceMax is the top of an axis: a round number.
const niceMax = n => {
  const e = 10 ** Math.floor(Math.log10(n));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find(f => f * e >= n * .999) * e;
};
// limits are what the lines of the chart "Held" are shares of.
let limits = { messages: null, bytes: null };
const setLimits = f => {
  limits = { messages: f.held.messagesLimit, bytes: f.held.bytesLimit };
  const by = Object.fromEntries(charts.map(c => [c.id, c]));
  Object.assign(by.age, { limit: f.age.limit, limitName: 'behind above' });
  Object.assign(by.held, { limit: 100 });
  Object.assign(by.writers, { limit: f.writers.limit, top: f.writers.limit });
};
const withShares = p => Object.assign(p, { heldShare: limits.messages && 100 * p.held / limits.messages, bytesShare: limits.bytes && 100 * p.heldBytes / limits.bytes });
const left = 46, right = 8, bottom = 18, top = 8;

const range = () => {
  const end = points[points.length - 1].t;
  // A young worker's charts are not mostly empty.
  const shown = Math.max(60000, Math.min(span, end - points[0].t));
  return [end - shown, end, shown];
};
const aim = (c, px) => {
  if (!points.length) return;
  const [from, , shown] = range(), w = c.plot.clientWidth - left - right;
  const t = from + (px - left) / w * shown;
  look(points.reduce((a, b) => Math.abs(b.t - t) < Math.abs(a.t - t) ? b : a).t, c);
};
const look = (t, c, say) => {
  cross = t;
  draw();
  const tip = $('tip'), p = t == null ? null : points.find(p => p.t === t);
  tip.hidden = !p || !c;
  if (tip.hidden) return;
  tip.replaceChildren(make('p', {}, clock(t) + (p.state === 2 ? ' · the table was down' : p.state === 0 ? ' · probing' : '')), ...c.series.filter(s => c.kind !== 'stack' || p[s.k] || s.k === 'written').map(s => {
    const swatch = make('i'); swatch.style.background = s.color;
    return make('div', {}, swatch, s.name, make('b', {}, c.format(p[s.k])));
  }));
  const box = c.plot.getBoundingClientRect(), [from, , shown] = range();
  const x = box.left + left + (t - from) / shown * (box.width - left - right);
  const w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = Math.max(4, x + 14 + w > innerWidth ? x - 14 - w : x + 14) + 'px';
  tip.style.top = Math.max(4, Math.min(innerHeight - h - 4, box.top + 6)) + 'px';
  if (say) announce(`${c.title} at ${clock(t)}: ` + c.series.map(s => `${s.name} ${c.format(p[s.k])}`).join(', '));
};

const drawChart = c => {
  const W = c.plot.clientWidth, H = c.plot.clientHeight, w = W - left - right, h = H - top - bottom;
  if (w < 20) return;
  const [from, end, shown] = range();
  const x = t => left + (t - from) / shown * w;
  const kids = [];
  let y, ticks;
  if (c.log) {
    const values = points.flatMap(p => c.series.map(s => p[s.k])).filter(v => v > 0);
    const marks = [.0001, .001, .01, .1, 1, 10, 60, 600, 3600, 36000, 86400, 864000, 8640000], high = Math.max(...values, c.limit || .1);
    ticks = marks.slice(marks.findLastIndex(m => m <= Math.min(...values, .01)), marks.findIndex(m => m >= high * .999) + 1);
    const lo = Math.log10(ticks[0]), hi = Math.log10(ticks[ticks.length - 1]);
    y = v => top + h - (Math.log10(Math.max(v, ticks[0])) - lo) / (hi - lo) * h;
  } else {
    const peak = Math.max(1, ...points.map(p => total(c, p)));
    const end = c.top ? Math.max(c.top, peak) : niceMax(peak);
    y = v => top + h - v / end * h;
    ticks = c.top === 25 ? [0, 5, 10, 15, 20, 25] : c.top === 1 || end <= 1 ? [0, end] : [0, end / 2, end];
  }
  // Times when the table was down are shaded, over all charts.
  for (let i = 0, begin = null; i <= points.length; i++) {
    const p = points[i], down = p && (p.state === 2 || (p.state === 0 && begin != null));
    if (down && begin == null) begin = p.t - step;
    if (down || begin == null) continue;
    const a = Math.max(left, x(begin)), b = x(points[i - 1].t);
    if (b > a) kids.push(svg('rect', { class: 'down', x: a, y: top, width: b - a, height: h }));
    begin = null;
  }
  for (const t of ticks) {
    kids.push(svg('line', { class: t === 0 ? 'base' : 'grid', x1: left, x2: left + w, y1: Math.round(y(t)), y2: Math.round(y(t)) }));
    const label = svg('text', { x: left - 7, y: y(t) + 4, 'text-anchor': 'end' });
    label.textContent = c.format(t);
    kids.push(label);
  }
  if (c.limit) {
    const at = Math.round(y(c.limit));
    kids.push(svg('line', { class: 'limit', x1: left, x2: left + w, y1: at, y2: at }));
    const label = svg('text', { class: 'limit-name', x: left + w - 2, y: at + 13, 'text-anchor': 'end' });
    label.textContent = `${c.limitName || 'limit'} ${c.format(c.limit)}`;
    kids.push(label);
  }
  const every = [10, 15, 30, 60, 120, 180, 300].find(s => w / (shown / 1000 / s) > 74) || 300;
  for (let t = Math.ceil(from / 1000 / every) * every * 1000; t <= end; t += every * 1000) {
    if (x(t) > left + w - 20 || x(t) < left + 14) continue;
    const label = svg('text', { x: x(t), y: H - 3, 'text-anchor': 'middle' });
    label.textContent = new Date(t).toLocaleTimeString('en-GB', every < 60 ? {} : { hour: '2-digit', minute: '2-digit' });
    kids.push(label);
  }
  // Where there is a gap in what is known, or in time, a line ends.
  const runs = s => {
    const all = []; let run = null, before = 0;
    for (const p of points) {
      if (p.t < from - step) continue;
      if (p[s.k] == null || p.t - before > 2.5 * step) run = null;
      if (p[s.k] != null) { if (!run) all.push(run = []); run.push(p); }
      before = p.t;
    }
    return all;
  };
  const clip = v => Math.max(left, x(v)).toFixed(1);
  if (c.kind === 'stack') {
    const shownPoints = points.filter(p => p.t >= from - step), base = shownPoints.map(() => 0);
    for (const s of c.series) {
      if (!shownPoints.some(p => p[s.k] > 0)) continue;
      const up = shownPoints.map((p, i) => `${clip(p.t)},${y(base[i] + p[s.k]).toFixed(1)}`);
      const back = shownPoints.map((p, i) => `${clip(p.t)},${y(base[i]).toFixed(1)}`).reverse();
      kids.push(svg('polygon', { points: up.concat(back).join(' '), fill: s.color, 'fill-opacity': .82 }));
      kids.push(svg('polyline', { points: up.join(' '), fill: 'none', stroke: 'var(--card)', 'stroke-width': 1 }));
      shownPoints.forEach((p, i) => base[i] += p[s.k]);
    }
  } else {
    for (const s of [...c.series].reverse()) for (const run of runs(s)) {
      let line = run.map(p => `${clip(p.t)},${y(p[s.k]).toFixed(1)}`);
      if (c.kind === 'step') line = run.flatMap((p, i) => i ? [`${clip(p.t - step)},${y(p[s.k]).toFixed(1)}`, line[i]] : [line[i]]);
      if (c.kind === 'area') kids.push(svg('polygon', { points: [`${clip(run[0].t)},${y(0)}`, ...line, `${clip(run[run.length - 1].t)},${y(0)}`].join(' '), fill: s.color, 'fill-opacity': .16 }));
      kids.push(run.length === 1 ? svg('circle', { cx: clip(run[0].t), cy: y(run[0][s.k]), r: 2.5, fill: s.color })
        : svg('polyline', { points: line.join(' '), fill: 'none', stroke: s.color, 'stroke-width': 2, 'stroke-linejoin': 'round', 'stroke-linecap': 'round' }));
    }
  }
  if (!points.some(p => c.series.some(s => p[s.k] != null))) {
    const label = svg('text', { class: 'nothing', x: left + w / 2, y: top + h / 2 + 4, 'text-anchor': 'middle' });
    label.textContent = 'nothing yet';
    kids.push(label);
  }
  const p = cross == null ? null : points.find(p => p.t === cross);
  if (p && p.t >= from) {
    kids.push(svg('line', { class: 'cross', x1: x(p.t), x2: x(p.t), y1: top, y2: top + h }));
    if (c.kind !== 'stack') for (const s of c.series) if (p[s.k] != null) kids.push(svg('circle', { cx: x(p.t), cy: y(p[s.k]), r: 4, fill: s.color, stroke: 'var(--card)', 'stroke-width': 2 }));
  }
  c.svg.setAttribute('viewBox', `0 0 ${W} ${H}`);
  c.svg.replaceChildren(...kids);
  if (c.kind === 'stack') c.series.forEach((s, i) => c.keys[i].hidden = !points.some(p => p[s.k] > 0) && s.k !== 'written');
};
const summarise = c => {
  const now = points[points.length - 1], main = c.series[0];
  const known = points.map(p => p[main.k]).filter(v => v != null);
  c.summary.textContent = known.length ? `${c.title}, ${main.name}: now ${c.format(now[main.k])}, lowest ${c.format(Math.min(...known))}, highest ${c.format(Math.max(...known))}. Left and right arrow keys read the values; the same values are in a table below.` : 'Nothing is known yet.';
};
const drawTable = c => {
  if (!c.table.open) return;
  const some = points.filter((_, i) => (points.length - 1 - i) % (points.length > 40 ? 20 : 5) === 0).reverse();
  c.body.replaceChildren(...some.map(p => make('tr', {}, make('th', { scope: 'row' }, clock(p.t)), ...c.series.map(s => make('td', { class: 'n' }, c.format(p[s.k]))))));
};
const draw = () => {
  if (!points.length) return;
  for (const c of charts) drawChart(c);
};
const drawAll = () => {
  if (!points.length) return;
  const [, , shown] = range();
  text('span', 'the last ' + (shown >= 120000 ? Math.round(shown / 60000) + ' minutes' : Math.round(shown / 1000) + ' seconds'));
  draw();
  for (const c of charts) { summarise(c); drawTable(c); }
};
new ResizeObserver(draw).observe($('charts'));
