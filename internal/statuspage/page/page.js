'use strict';
(() => {
  const $ = id => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) k === 'class' ? e.className = v : e.setAttribute(k, v);
    e.append(...children);
    return e;
  };
  const svg = (tag, attributes = {}) => {
    const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    return e;
  };
  const text = (id, s) => { const e = $(id); if (e.textContent !== s) e.textContent = s; };

  // Numbers as people read them. null is what isn't known.
  const none = '–';
  const whole = n => n == null ? none : Math.round(n).toLocaleString('en-US');
  const short = n => {
    if (n == null) return none;
    const a = Math.abs(n);
    if (a >= 1e9) return trim(n / 1e9) + ' B';
    if (a >= 1e6) return trim(n / 1e6) + ' M';
    if (a >= 1e5) return trim(n / 1e3) + ' k';
    if (a >= 100 || a === 0) return whole(n);
    if (a >= 10) return trim(n, 1);
    return a < .01 ? '<0.01' : trim(n, 2);
  };
  const trim = (n, digits) => n.toFixed(digits ?? (Math.abs(n) < 10 ? 2 : Math.abs(n) < 100 ? 1 : 0)).replace(/\.?0+$/, m => m.includes('.') ? '' : m);
  const time = s => {
    if (s == null) return none;
    if (s < .001) return '<1 ms';
    if (s < 1) return trim(s * 1000, s < .01 ? 1 : 0) + ' ms';
    if (s < 60) return trim(s, s < 10 ? 1 : 0) + ' s';
    if (s < 7200) return trim(s / 60, s < 600 ? 1 : 0) + ' min';
    return s < 172800 ? trim(s / 3600, 1) + ' h' : trim(s / 86400, 1) + ' d';
  };
  const ago = s => {
    const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${Math.floor(s) % 60} s` : `${Math.floor(s)} s`;
  };
  const bytes = n => n == null ? none : n >= 2 ** 20 ? trim(n / 2 ** 20, 1) + ' MiB' : n >= 1024 ? trim(n / 1024, 1) + ' KiB' : n + ' B';
  const percent = (part, all) => !all ? none : part === 0 ? '0 %' : part / all < .001 ? '<0.1 %' : trim(100 * part / all, part / all < .1 ? 1 : 0) + ' %';
  const dollars = n => n == null ? none : '$' + (n !== 0 && Math.abs(n) < .1 ? n.toFixed(4) : Math.abs(n) < 100 ? n.toFixed(2) : whole(n));
  const clock = t => new Date(t).toLocaleTimeString('en-GB');

  const icons = {
    good: 'M5 12.5l4.5 4.5L19 7.5', idle: 'M9 6v12M15 6v12',
    warning: 'M12 4l9 16H3zM12 10v4M12 17v.01', critical: 'M6 6l12 12M18 6L6 18',
  };
  const outcomes = {
    written: 'durable in the table', deleted: 'a delete that is durable', duplicate: 'the same is durable already', superseded: 'a newer one is durable',
    expired: 'over before it could be written', rejected: 'can never be stored', failed: 'released, to be tried again',
  };

  // ---- charts ----
  let points = [], step = 3000, span = 900000, cross = null;
  const charts = [
    { id: 'throughput', title: 'Predictions', unit: 'a second', kind: 'stack', format: short, series: Object.keys(outcomes).map(k => ({ k, name: k, color: `var(--${k})` })) },
    { id: 'age', title: 'Age when durable', unit: 'log scale', kind: 'lines', log: true, format: time, series: [{ k: 'p99', name: '99 %', color: 'var(--p99)' }, { k: 'p95', name: '95 %', color: 'var(--p95)' }, { k: 'p50', name: 'median', color: 'var(--p50)' }] },
    { id: 'held', title: 'Messages held', unit: '', kind: 'area', format: short, series: [{ k: 'held', name: 'held', color: 'var(--written)' }] },
    { id: 'writers', title: 'Writers', unit: 'calls at once', kind: 'step', format: short, series: [{ k: 'allowed', name: 'allowed', color: 'var(--written)' }, { k: 'inFlight', name: 'under way', color: 'var(--duplicate)' }] },
    { id: 'fill', title: 'Items a call', unit: 'of 25', kind: 'area', format: short, top: 25, series: [{ k: 'fill', name: 'items a call', color: 'var(--written)' }] },
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
    $('charts').append(make('figure', { class: 'chart', id: 'chart-' + c.id }, caption, c.plot, c.summary, c.table));
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
      const lo = Math.floor(Math.log10(Math.min(...values, .01))), hi = Math.max(lo + 2, Math.ceil(Math.log10(Math.max(...values, .1)) - .001));
      y = v => top + h - (Math.log10(Math.max(v, 10 ** lo)) - lo) / (hi - lo) * h;
      ticks = []; for (let e = lo; e <= hi; e++) ticks.push(10 ** e);
    } else {
      const most = c.top || niceMax(Math.max(1, ...points.map(p => total(c, p))));
      y = v => top + h - v / most * h;
      ticks = c.top ? [0, 5, 10, 15, 20, 25] : most <= 1 ? [0, most] : [0, most / 2, most];
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

  // ---- figures ----
  let lastState = '', lastAt = 0;
  const announce = s => { $('announce').textContent = s; };
  const meter = (id, part, all, high) => {
    const share = all ? Math.min(1, part / all) : 0;
    $(id).firstElementChild.style.width = 100 * share + '%';
    $(id).dataset.high = share > (high ?? .9);
  };
  // tail shortens an ARN or a URL to what people call it.
  const tail = s => (s || none).split(/[/:]/).pop();
  // breakable lets a long name break between its words.
  const breakable = name => name.split(/(?=[A-Z])/).flatMap((word, i) => i ? [make('wbr'), word] : [word]);
  // rows keeps a table's rows, so that a selection or a screen reader's place in it lives on.
  const rows = (body, list, key, build, fill) => {
    const old = new Map([...body.children].map(r => [r.dataset.key, r]));
    list.forEach((item, i) => {
      const k = key(item);
      let r = old.get(k);
      if (!r) { r = build(item); r.dataset.key = k; }
      old.delete(k);
      if (body.children[i] !== r) body.insertBefore(r, body.children[i] || null);
      fill(r, item);
    });
    for (const r of old.values()) r.remove();
  };
  const cell = (r, i, s) => { const c = r.children[i]; if (c.textContent !== s) c.textContent = s; };

  const show = f => {
    lastAt = Date.now();
    const state = $('state');
    if (state.dataset.state !== f.state) { state.dataset.state = f.state; }
    $('state-icon').setAttribute('d', icons[f.state]);
    text('state-title', f.title);
    text('state-text', f.text);
    text('state-reason', f.reason || '');
    $('state-reason').hidden = !f.reason;
    const others = f.failing && f.failing.length ? f.failing : [];
    $('failing').hidden = others.length < 2; // one is in the words already
    $('failing').replaceChildren(...others.map(c => make('li', {}, `${c.part}: ${c.warning ? 'needs attention' : 'failing'} for ${ago((f.time - Date.parse(c.since)) / 1000)}`)));
    text('uptime', ago(f.uptime));
    document.title = { critical: '✖ ', warning: '▲ ' }[f.state] ? { critical: '✖ ', warning: '▲ ' }[f.state] + f.title + ' · predcache' : `predcache worker · ${short(f.outcomes[0].rate)}/s`;
    const spoken = f.state === 'good' ? 'At work' : f.title;
    if (spoken !== lastState) { announce(spoken + '. ' + f.text + ' ' + (f.reason || '')); lastState = spoken; }

    text('waiting', f.backlog ? whole(f.backlog.waiting) : none);
    text('in-flight', f.backlog ? whole(f.backlog.inFlight) : none);
    text('received', f.closed ? 'closed' : short(f.received));
    document.querySelector('#pipe-in span').textContent = f.closed ? 'nothing is received' : 'messages a second';
    $('pipe-in').dataset.on = f.closed ? 'shut' : f.received > 0;
    text('held', whole(f.held.messages));
    text('held-limit', whole(f.held.messagesLimit));
    text('held-bytes', `${bytes(f.held.bytes)} of ${bytes(f.held.bytesLimit)} taken or reserved`);
    meter('held-meter', f.held.messages, f.held.messagesLimit);
    const by = Object.fromEntries(f.outcomes.map(o => [o.name, o]));
    const all = f.outcomes.reduce((n, o) => n + o.total, 0);
    text('needless', percent(by.duplicate.total + by.superseded.total + by.expired.total, all));
    const untried = f.table === 'probing' && !by.written.total, shut = f.table !== 'up' && !untried && !(by.written.rate > 0);
    text('written', shut ? 'stopped' : short(by.written.rate));
    document.querySelector('#pipe-out span').textContent = !shut ? 'predictions a second' : f.table === 'down' ? 'nothing is written' : 'trying one batch';
    $('pipe-out').dataset.on = f.table === 'down' ? 'shut' : by.written.rate > 0;
    text('table-state', untried ? 'not tried yet' : f.table);
    $('table-state').dataset.state = untried ? '' : f.table;
    text('allowed', f.table === 'up' ? whole(f.writers.allowed) : f.table === 'down' ? '0' : '1');
    text('writers', whole(f.writers.limit));
    meter('writer-meter', f.table === 'up' ? f.writers.allowed : 0, f.writers.limit, 2);
    text('unit-rate', short(f.units.rate));

    text('age50', time(f.age.p50)); text('age95', time(f.age.p95)); text('age99', time(f.age.p99));
    text('fill', f.batch.items == null ? none : trim(f.batch.items, 1));
    text('batch-rate', short(f.batch.rate)); text('returned', short(f.batch.unprocessed));
    const saved = Object.values(f.units.saved).reduce((a, b) => a + b, 0);
    text('saved', percent(saved, saved + f.units.used));
    text('saved-note', saved || f.units.used ? `${short(saved)} not used, ${short(f.units.used)} used since the start` : 'of those that would have been used');
    $('cost').title = 'write units and SQS requests, by WORKER_PRICE_WRITE_UNITS and WORKER_PRICE_SQS_REQUESTS';
    if (f.cost) {
      text('cost', dollars(f.cost.perMillion));
      text('cost-note', `a million predictions; ${dollars(f.cost.spent)} spent, ${dollars(f.cost.saved)} saved so far`);
    }

    const most = Math.max(1, ...f.outcomes.map(o => o.total));
    rows($('outcomes'), f.outcomes, o => o.name, o => {
      const dot = make('i', { class: 'dot' }), bar = make('div', { class: 'bar' });
      dot.style.background = bar.style.background = `var(--${o.name})`;
      return make('tr', {}, make('th', { scope: 'row' }, dot, o.name, make('small', {}, outcomes[o.name])), make('td', { class: 'n' }), make('td', { class: 'n' }), make('td', { class: 'share' }, bar, make('span', { class: 'hidden' })));
    }, (r, o) => {
      cell(r, 1, short(o.rate)); cell(r, 2, whole(o.total));
      const [bar, said] = r.children[3].children;
      bar.style.width = 100 * o.total / most + '%';
      bar.hidden = !o.total;
      said.textContent = percent(o.total, all);
    });

    $('no-rejects').hidden = !!(f.rejects && f.rejects.length);
    $('rejects-table').hidden = !(f.rejects && f.rejects.length);
    rows($('rejects'), (f.rejects || []).slice().sort((a, b) => b.total - a.total), x => x.reason,
      x => make('tr', {}, make('th', { scope: 'row' }, x.reason, make('small', {}, x.meaning)), make('td', { class: 'n' }), make('td', { class: 'n' })),
      (r, x) => { cell(r, 1, whole(x.recent)); cell(r, 2, whole(x.total)); });

    rows($('calls'), f.calls, c => c.operation,
      c => make('tr', {}, make('th', { scope: 'row' }, ...breakable(c.operation), make('small')), make('td', { class: 'n' }), make('td', { class: 'n rare' }), make('td', { class: 'n' }), make('td', { class: 'n' })),
      (r, c) => {
        const codes = Object.entries(c.failures).sort((a, b) => b[1] - a[1]).map(([k, n]) => `${k} ${whole(n)} times`).join(', ');
        const small = r.children[0].lastChild;
        if (small.textContent !== codes) small.textContent = codes;
        cell(r, 1, short(c.rate)); cell(r, 2, time(c.p50)); cell(r, 3, time(c.p99)); cell(r, 4, whole(c.recent));
        r.children[4].className = c.recent > 0 ? 'n bad' : 'n';
      });

    $('objects-card').hidden = !f.objects;
    if (f.objects) {
      const o = f.objects, named = {
        read: 'objects read', split: 'split into ranges', range: 'ranges read', continued: 'left to another worker',
        skipped: 'skipped by name', changed: 'overwritten meanwhile', rejected: 'rejected as a whole', ignored: 'other events',
      };
      rows($('objects'), [
        ['events and ranges waiting', o.backlog ? whole(o.backlog.waiting) : none], ['in flight, of all workers', o.backlog ? whole(o.backlog.inFlight) : none],
        ['being read here', whole(o.reading)], ['left of those', bytes(o.left)], ['rows a second', short(o.rate)], ['rows since the start', whole(o.rows)],
        ['messages held', whole(o.held)], ...o.outcomes.filter(c => c.n > 0).map(c => [named[c.name], whole(c.n)]),
      ], x => x[0], x => make('div', {}, make('dt', {}, x[0]), make('dd')), (r, x) => cell(r, 1, x[1]));
    }

    rows($('messages'), f.counts, c => c.name, c => make('div', {}, make('dt', {}, c.name), make('dd')), (r, c) => cell(r, 1, whole(c.n)));
  };

  const showFacts = f => {
    step = f.step; span = f.window; points = f.points.t.map((_, i) => Object.fromEntries(Object.entries(f.points).map(([k, list]) => [k, list[i]])));
    text('version', f.version);
    text('queue', tail(f.queue)); $('queue').title = f.queue;
    text('table', tail(f.table) + (f.layout ? `, ${f.layout}` : '')); $('table').title = f.table;
    text('region', f.region || none);
    text('rejects-note', f.rejects ? `Rejects go to ${tail(f.rejects)}, each with its reason.` : 'There is no reject queue: messages with rejects stay on their queue, invisible for longer and longer.');
    const set = f.settings.filter(s => s.value !== s.default).length;
    text('settings-note', `${f.settings.length}, of which ${set} differ from their default`);
    $('settings').replaceChildren(...f.settings.map(s => make('tr', { 'data-set': s.value !== s.default },
      make('td', {}, make('code', {}, s.name)),
      make('td', {}, make('code', {}, s.value || '(empty)'), ...(s.value !== s.default ? [make('span', { class: 'codes' }, 'default ' + (s.default || '(empty)'))] : [])),
      make('td', {}, s.meaning))));
    drawAll();
  };

  // ---- connection ----
  let source = null, paused = false;
  const connection = (state, words) => { $('live').dataset.on = state; text('live-text', words); };
  const open = () => {
    source = new EventSource('/events');
    source.addEventListener('facts', e => showFacts(JSON.parse(e.data)));
    source.addEventListener('snapshot', e => {
      const f = JSON.parse(e.data);
      show(f);
      connection('live', 'live');
      if (f.point) {
        points.push(f.point);
        while (points.length && points[0].t < f.point.t - span) points.shift();
        drawAll();
      }
    });
    source.onerror = () => { if (!paused) lost(); };
  };
  const lost = () => {
    connection('lost', lastAt ? 'no connection since ' + clock(lastAt) : 'no connection');
    if (lastState !== 'lost') { announce('The connection to the worker is lost. The figures are old.'); lastState = 'lost'; }
  };
  setInterval(() => { if (!paused && lastAt && Date.now() - lastAt > 5000) lost(); }, 1000);
  $('pause').addEventListener('click', () => {
    paused = !paused;
    $('pause').setAttribute('aria-pressed', paused);
    $('pause').textContent = paused ? 'Resume' : 'Pause';
    if (paused) { source.close(); connection('paused', 'paused at ' + clock(lastAt || Date.now())); } else { connection('', 'connecting'); open(); }
  });

  const themes = ['auto', 'light', 'dark'];
  const theme = t => {
    document.documentElement.style.colorScheme = t === 'auto' ? '' : t;
    $('theme').textContent = 'Theme: ' + t;
    $('theme').dataset.theme = t;
    try { localStorage.setItem('theme', t); } catch { /* private windows */ }
  };
  $('theme').addEventListener('click', () => theme(themes[(themes.indexOf($('theme').dataset.theme) + 1) % 3]));
  let saved = 'auto';
  try { saved = localStorage.getItem('theme') || 'auto'; } catch { /* private windows */ }
  theme(themes.includes(saved) ? saved : 'auto');
  open();
})();
