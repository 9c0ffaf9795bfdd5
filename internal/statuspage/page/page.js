// ---- figures ----
let lastState = '', lastAt = 0, who = '';
const announce = s => { $('announce').textContent = s; };
const meter = (id, part, all, high) => {
  const share = all ? Math.min(1, part / all) : 0;
  $(id).firstElementChild.style.width = 100 * share + '%';
  $(id).dataset.high = share > (high ?? .9);
};
// tail shortens an ARN or a URL to what people call it.
const tail = s => (s || none).split(/[/:]/).pop();
// breakable lets a long name break between its words: BatchWriteItem, WORKER_QUEUE_URL, a URL, an ARN.
const breakable = name => name.split(/(?<=[a-z])(?=[A-Z])|(?<=[_/:.,&=?@-])/).flatMap((word, i) => i ? [make('wbr'), word] : [word]);
const named = (id, name) => { $(id).replaceChildren(...breakable(name)); };
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
  if (limits.messages !== f.held.messagesLimit || !points.some(p => 'heldShare' in p)) {
    setLimits(f);
    points.forEach(withShares);
    drawAll();
  }
  const state = $('state');
  state.dataset.state = f.state;
  state.dataset.level = f.level;
  $('state-icon').setAttribute('d', icons[f.state] || icons[f.level]);
  text('state-title', f.title);
  text('state-text', f.text);
  for (const part of ['reason', 'remedy']) {
    text('state-' + part, f[part] || '');
    $('state-' + part).parentElement.hidden = !f[part];
  }
  $('state-why').hidden = !f.reason && !f.remedy;
  const others = f.failing && f.failing.length ? f.failing : [];
  $('failing').hidden = others.length < 2; // one is in the words already
  $('failing').replaceChildren(...others.map(c => make('li', {}, `${c.part}: ${c.warning ? 'needs attention' : 'failing'} for ${ago((f.time - Date.parse(c.since)) / 1000)}`)));
  text('uptime', ago(f.uptime));
  const mark = { critical: '✖ ', warning: '▲ ' }[f.level];
  document.title = (mark ? mark + f.title : `predcache worker · ${short(f.outcomes[0].rate)}/s`) + (who ? ` · ${who}` : '');
  const spoken = f.state === 'writing' ? 'At work' : f.title;
  if (f.state !== lastState) { announce([spoken + '.', f.text, f.reason, f.remedy].filter(Boolean).join(' ')); lastState = f.state; }

  text('waiting', f.backlog ? whole(f.backlog.waiting) : none);
  text('in-flight', f.backlog ? whole(f.backlog.inFlight) : none);
  // A change of a few messages is no news.
  const change = f.backlog && f.backlog.waiting >= 100 && Math.abs(f.backlog.change) >= 1 ? f.backlog.change : 0;
  text('trend', change ? `${change > 0 ? '▲ rising' : '▼ falling'} by ${short(Math.abs(change))} a second` : '');
  $('trend').dataset.grows = change > 0;
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
    x => make('tr', {}, make('th', { scope: 'row' }, x.reason, make('small', {}, x.meaning), make('small', { class: 'example' })), make('td', { class: 'n' }), make('td', { class: 'n' })),
    (r, x) => {
      const example = r.querySelector('.example'), said = [x.field, x.example].join(' ');
      if (example.title !== said) {
        example.title = said;
        example.replaceChildren(...(x.field ? [make('code', {}, ...breakable(x.field)), ' '] : []), x.example || '');
        example.hidden = !x.field && !x.example;
      }
      cell(r, 1, whole(x.recent)); cell(r, 2, whole(x.total));
    });

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
  limits = { messages: null, bytes: null }; // the next snapshot sets them
  const w = f.worker;
  who = w.pod || w.task || w.host;
  const known = [
    ...(w.pod ? [['pod', w.pod], ['namespace', w.namespace], ['node', w.node]] : w.task ? [['task', w.task], ['definition', w.definition], ['cluster', w.cluster], ['zone', w.zone]] : [['host', w.host]]),
    ['version', f.version], ['region', f.region], ['layout', f.layout],
  ].filter(x => x[1]);
  $('who').replaceChildren(...known.map(([k, v]) => make('div', {}, make('dt', {}, k), make('dd', {}, ...breakable(v)))), $('uptime').parentElement);
  named('queue', tail(f.queue)); $('queue').title = f.queue;
  named('table', tail(f.table)); $('table').title = f.table;
  text('rejects-note', f.rejects ? `Rejects go to ${tail(f.rejects)}, each with its reason.` : 'There is no reject queue: messages with rejects stay on their queue, invisible for longer and longer.');
  const set = f.settings.filter(s => s.value !== s.default).length;
  text('settings-note', `${f.settings.length}, of which ${set} differ from their default`);
  $('settings').replaceChildren(...f.settings.map(s => make('tr', { 'data-set': s.value !== s.default },
    make('td', {}, make('code', {}, ...breakable(s.name))),
    make('td', {}, make('code', {}, ...breakable(s.value || '(empty)')), ...(s.value !== s.default ? [make('span', { class: 'codes' }, 'default ', ...breakable(s.default || '(empty)'))] : [])),
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
      points.push(withShares(f.point));
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
