// Rows, search and the way back. Whatever a model wrote gets into the page as text only: by
// textContent and text nodes, never as markup (the page's policy would not allow it either).
//
// The data: kinds {name, file, method, count}; rows, as packing.py puts them together, kind after
// kind; origins, of each method. A row is its number, by which each of `fields` has its value; only
// those on show are in the page. A method's report.js, which stands above this, may tell more of them:
// ways.<method> = (origins, page) => ({ text, tell }), where
//   page: { make, code, number }, as below;
//   text(instruction): the text of a row's instruction that is none;
//   tell(instruction, origin): the nodes that tell a row's way back.
// What waits for `shown` comes when the rows are there.
const shown = (async () => {
  const PAGE = 50;
  const byId = (id) => document.getElementById(id);
  if (!('DecompressionStream' in window)) {
    byId('hits').textContent = 'The rows need a newer browser: this one cannot unpack them.';
    return;
  }
  const data = await unpacked(byId('data'));
  const q = byId('q'), reason = byId('reason'), body = byId('body'), hits = byId('hits');
  // null where no row has a score, or a rating
  const order = byId('order'), rating = byId('rating');
  const kinds = [...document.querySelectorAll('input[name=kind]')];
  const state = { q: '', kind: '', reason: '', rating: '', order: '', page: 1 };
  const number = new Intl.NumberFormat('en').format;
  const fields = fieldsOf(data);
  const all = fields.kind.length;
  let found = [];
  let words = [];

  function make(name, properties, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(properties || {})) {
      if (key in element) element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children.filter((one) => one !== null && one !== ''));
    return element;
  }

  // --- what a row is

  const code = (text) => make('code', null, text);
  const wayOf = Object.fromEntries(Object.entries(ways).map(([method, way]) =>
    [method, way(data.origins[method], { make, code, number })]));
  const kindOf = (row) => data.kinds[fields.kind[row]];
  const placeOf = (row) => `${kindOf(row).file}:${fields.line[row]}`;

  // The most frequent words are a character each, until somebody sees them.
  const FIRST = 0xe000;
  const plain = (text) =>
    text.replace(/[\ue000-\uf8ff]/g, (one) => data.rows.words[one.charCodeAt(0) - FIRST]).slice(1);

  function instructionOf(row) {
    const instruction = fields.instruction[row];
    return typeof instruction === 'string'
      ? plain(instruction) : wayOf[kindOf(row).method].text(instruction);
  }

  // Of a key the page has its beginning.
  const DIGITS = 16;
  const digits = (key) => (key[0] === ' ' ? key.slice(1)
    : Array.from(key, (one) => one.charCodeAt(0).toString(16).slice(1)).join(''));
  const keyOf = (row) => (fields.key[row] === null ? null : digits(data.rows.keys[fields.key[row]]));

  // What a search looks through; made at the first one, since most of it may never be seen.
  let texts = null;
  let keys = null;
  function lookedThrough() {
    texts ??= Array.from(fields.kind, (_, row) =>
      [instructionOf(row), plain(fields.input[row]), plain(fields.output[row])]
        .join('\n').toLowerCase());
    keys ??= data.rows.keys.map(digits);
  }

  // A key or a place is found only whole: a number would be in half of the keys.
  const isKey = (word, key) =>
    key !== undefined && (word === key || (key.length === DIGITS && word.startsWith(key)));
  const has = (row, word) =>
    texts[row].includes(word) || isKey(word, keys[fields.key[row]]) || word === placeOf(row);

  // What people say of a row: of its three questions each that they answer with yes.
  const QUESTIONS = ['valid task', 'fit input', 'right output'];
  const yesOf = (row) => [...fields.rating[row]].filter((one) => one === 'y').length;
  const saidOf = (row) => [...fields.rating[row]]
    .map((one, place) => `${one === 'y' ? '' : 'not a '}${QUESTIONS[place]}`).join(', ');
  // The choices of the filter; null where no row is rated.
  const isRated = (row) => fields.rating[row] !== null;
  const RATED = rating && [
    ['rated', 'rated', isRated],
    ...[3, 2, 1, 0].map((count) => [`${count}`, `${count} of 3 right`,
      (row) => isRated(row) && yesOf(row) === count]),
    ['unrated', 'not rated', (row) => !isRated(row)],
  ];

  // --- search

  function wordsOf(text) {
    const parts = text.toLowerCase().match(/["“”][^"“”]+["“”]|\S+/g) || [];
    return parts.map((one) => one.replace(/^["“”]+|["“”]+$/g, '')).filter(Boolean);
  }

  function search() {
    words = wordsOf(state.q);
    if (words.length) lookedThrough();
    const counts = new Map([['', 0]]);
    const reasons = new Map();
    const rated = new Map();
    const count = (map, name) => map.set(name, (map.get(name) || 0) + 1);
    found = [];
    for (let row = 0; row < all; row += 1) {
      if (words.length && !words.every((word) => has(row, word))) continue;
      const kind = kindOf(row).name, why = fields.reason[row];
      count(counts, '');
      count(counts, kind);
      if (state.kind && kind !== state.kind) continue;
      if (why !== null) count(reasons, why);
      if (state.reason && why !== state.reason) continue;
      const ratings = rating ? RATED.filter(([, , holds]) => holds(row)).map(([name]) => name) : [];
      for (const name of ratings) count(rated, name);
      if (!state.rating || ratings.includes(state.rating)) found.push(row);
    }
    for (const input of kinds) {
      input.checked = input.value === state.kind;
      input.nextElementSibling.lastElementChild.textContent = number(counts.get(input.value) || 0);
    }
    if (state.reason && !reasons.has(state.reason)) reasons.set(state.reason, 0);
    const sorted = [...reasons].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    reason.replaceChildren(
      make('option', { value: '' }, 'any'),
      ...sorted.map(([name, count]) => make('option', { value: name }, `${name} (${number(count)})`)),
    );
    reason.value = state.reason;
    if (rating) {
      rating.replaceChildren(
        make('option', { value: '' }, 'any, or none'),
        ...RATED.map(([name, words]) =>
          make('option', { value: name }, `${words} (${number(rated.get(name) || 0)})`)),
      );
      rating.value = state.rating;
    }
    sort();
    if (q.value !== state.q) q.value = state.q;
    show();
  }

  // Scores kind by kind, since those of two kinds are no measure of each other; rows without one, or
  // without a rating, are last.
  function sort() {
    if (!order) return;
    order.value = state.order;
    if (!state.order) return;
    const sign = state.order.startsWith('best') ? -1 : 1;
    const rates = state.order.endsWith('rated');
    const scored = (row) => (rates ? fields.rating : fields.score)[row] !== null;
    const scoreOf = (row) => (rates ? yesOf(row) : fields.score[row]);
    found.sort((a, b) => (rates ? 0 : fields.kind[a] - fields.kind[b]) || scored(b) - scored(a)
      || (scored(a) ? sign * (scoreOf(a) - scoreOf(b)) : 0));
  }

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(Math.max(1, state.page), pages);
    const first = (state.page - 1) * PAGE;
    const shown = found.slice(first, first + PAGE);
    body.replaceChildren(...shown.map(rowOf));
    for (const text of body.querySelectorAll('.text > div')) {
      if (text.scrollHeight > text.clientHeight + 2) text.parentElement.classList.add('cut');
    }
    hits.textContent = found.length === all
      ? `${number(all)} rows`
      : `${number(found.length)} of ${number(all)} rows`;
    byId('page').textContent = shown.length
      ? `${number(first + 1)}–${number(first + shown.length)} of ${number(found.length)}` : '';
    byId('previous').disabled = state.page === 1;
    byId('next').disabled = state.page === pages;
  }

  // --- a row of the table

  function marked(text) {
    const cell = make('div', { dir: 'auto' });
    if (!words.length) {
      cell.textContent = text;
      return cell;
    }
    const safe = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    text.split(new RegExp(`(${safe.join('|')})`, 'gi')).forEach((part, index) => {
      if (part) cell.append(index % 2 ? make('mark', null, part) : part);
    });
    return cell;
  }

  function cell(label, text) {
    const empty = text === '';
    return make('td', {
      role: 'cell', className: empty ? 'none' : 'text', 'data-label': label,
    }, empty ? '–' : marked(text));
  }

  function rowOf(row) {
    const reason = fields.reason[row], score = fields.score[row];
    const button = make('button', { type: 'button', 'aria-expanded': 'false' }, 'Where from?');
    const line = make('tr', { role: 'row' },
      cell('Instruction', instructionOf(row)),
      cell('Input', plain(fields.input[row])),
      cell('Output', plain(fields.output[row])),
      make('td', { role: 'cell', className: 'became', 'data-label': 'What became of it' },
        make('b', null, kindOf(row).name),
        reason === null ? null : make('span', { className: 'why' }, reason),
        score === null ? null
          : make('span', { className: 'score' }, `score ${Number(score.toFixed(4))}`),
        fields.rating[row] === null ? null
          : make('span', { className: 'rating' }, `${yesOf(row)} of 3: ${saidOf(row)}`),
        button));
    let origin = null;
    button.addEventListener('click', () => {
      if (origin) {
        origin.remove();
        origin = null;
      } else {
        origin = make('tr', { role: 'row', className: 'origin' },
          make('td', { role: 'cell', colSpan: 4 }, wayBack(row)));
        line.after(origin);
      }
      line.classList.toggle('open', Boolean(origin));
      button.setAttribute('aria-expanded', String(Boolean(origin)));
    });
    return line;
  }

  // --- the way back

  function wayBack(row) {
    const way = wayOf[kindOf(row).method], key = keyOf(row);
    return make('div', { className: 'way' },
      make('p', null, code(placeOf(row)), key ? ' · answer ' : '',
        key ? code(key.length === DIGITS ? `${key}…` : key) : ''),
      ...(way ? way.tell(fields.instruction[row], fields.origin[row]) : []),
      make('p', null, 'Everything about it: ', code(`seedbed trace ${placeOf(row)}`)));
  }

  // --- the address keeps the search: #q=word&kind=finetuning+row&reason=duplicate&rating=3
  // &order=best&page=2

  function fromAddress() {
    const hash = location.hash.slice(1);
    if (!hash.includes('=')) return false; // a section of the page
    const given = new URLSearchParams(hash);
    state.q = given.get('q') || '';
    const kind = given.get('kind');
    state.kind = data.kinds.some((known) => known.name === kind) ? kind : '';
    state.reason = given.get('reason') || '';
    const rated = given.get('rating');
    state.rating = rating && RATED.some(([name]) => name === rated) ? rated : '';
    const known = order ? [...order.options].map((option) => option.value) : [];
    state.order = known.includes(given.get('order')) ? given.get('order') : '';
    state.page = Number.parseInt(given.get('page'), 10) || 1;
    return true;
  }

  function change(what) {
    Object.assign(state, { page: 1 }, what);
    search();
    const kept = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) {
      if (value && !(name === 'page' && value === 1)) kept.set(name, value);
    }
    history.replaceState(null, '', `#${kept.size ? kept : 'rows'}`);
  }

  const turn = (by) => {
    change({ page: state.page + by });
    byId('rows').scrollIntoView();
  };

  q.addEventListener('input', () => change({ q: q.value }));
  reason.addEventListener('change', () => change({ reason: reason.value }));
  rating?.addEventListener('change', () => change({ rating: rating.value }));
  order?.addEventListener('change', () => change({ order: order.value }));
  for (const input of kinds) {
    input.addEventListener('change', () => change({ kind: input.value, reason: '' }));
  }
  byId('previous').addEventListener('click', () => turn(-1));
  byId('next').addEventListener('click', () => turn(1));
  byId('search').addEventListener('submit', (event) => event.preventDefault());
  addEventListener('hashchange', () => fromAddress() && search());
  addEventListener('keydown', (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      q.focus();
    }
  });

  const linked = fromAddress();
  search();
  if (linked) byId('rows').scrollIntoView({ behavior: 'instant' });
  // For benchmarks/report.py: milliseconds from the start of loading until the rows were there.
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();

// The JSON that packing.py made base 85 of: gzip; the low bytes of UTF-16, then the high ones.
async function unpacked(element) {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    + '!#$%&()*+-;,=>?@^_`{|}~';
  const valueOf = new Uint8Array(128);
  for (let i = 0; i < 85; i += 1) valueOf[digits.charCodeAt(i)] = i;
  const text = element.textContent;
  const bytes = new DataView(new ArrayBuffer(((text.length - 1) / 5) * 4));
  for (let i = 1, at = 0; i < text.length; at += 4) {
    let four = 0;
    for (const end = i + 5; i < end; i += 1) four = four * 85 + valueOf[text.charCodeAt(i)];
    bytes.setUint32(at, four);
  }
  const packed = new Uint8Array(bytes.buffer, 0, bytes.byteLength - Number(text[0]));
  const stream = new DecompressionStream('gzip');
  const writer = stream.writable.getWriter();
  writer.write(packed);
  writer.close();
  const parts = [];
  let size = 0;
  const reader = stream.readable.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    size += part.value.length;
  }
  const planes = new Uint8Array(size);
  let place = 0;
  for (const part of parts) {
    planes.set(part, place);
    place += part.length;
  }
  const units = new Uint16Array(planes.length / 2);
  for (let i = 0; i < units.length; i += 1) units[i] = planes[i] | (planes[units.length + i] << 8);
  return JSON.parse(new TextDecoder('utf-16le').decode(units));
}

// Each field of Row in runs/page.py, and the place of the kind, of all rows: packing.py's columns.
// Of a key its place.
function fieldsOf(data) {
  const { line, instruction, input, output, reason, key, origin, score, rating } = data.rows;
  const counted = (values) => {
    let last = 0;
    return values.map((value) => (typeof value === 'number' ? (last += value) : value));
  };
  const whole = (texts) => texts.map((text) => (typeof text === 'number' ? texts[text] : text));
  const kind = data.kinds.flatMap(({ count }, place) => Array(count).fill(place));
  const orNull = (values) => (values.length ? values : Array(kind.length).fill(null));
  return { kind, line: counted(line), instruction: counted(instruction), input: whole(input),
    output: whole(output), reason, key: counted(key), origin, score: orNull(score),
    rating: orNull(rating) };
}
