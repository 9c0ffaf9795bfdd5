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
const trim = (n, digits) => {
  const s = n.toFixed(digits ?? (Math.abs(n) < 10 ? 2 : Math.abs(n) < 100 ? 1 : 0));
  return s.includes('.') ? s.replace(/\.?0+$/, '') : s;
};
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
const of100 = n => n == null ? none : trim(n, n < 10 ? 1 : 0) + ' %';
const clock = t => new Date(t).toLocaleTimeString('en-GB');

const icons = {
  good: 'M5 12.5l4.5 4.5L19 7.5', idle: 'M9 6v12M15 6v12',
  warning: 'M12 4l9 16H3zM12 10v4M12 17v.01', critical: 'M6 6l12 12M18 6L6 18', behind: 'M12 3a9 9 0 1 0 .01 0M12 7v5l3.5 2.5',
};
const outcomes = {
  written: 'durable in the table', deleted: 'a delete that is durable', duplicate: 'the same is durable already', superseded: 'a newer one is durable',
  expired: 'over before it could be written', rejected: 'can never be stored', failed: 'released, to be tried again',
};
