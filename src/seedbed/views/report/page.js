'use strict';
// Rows, search and the way back. Whatever a model wrote gets into the page as text only: by
// textContent and text nodes, never as markup (the page's policy would not allow it either).
(() => {
  const PAGE = 50;
  const data = JSON.parse(document.getElementById('data').textContent);
  const [KIND, LINE, INSTRUCTION, INPUT, OUTPUT, REASON, PROMPT, ROUND, KEY] = Array(9).keys();
  const byId = (id) => document.getElementById(id);
  const q = byId('q'), reason = byId('reason'), body = byId('body'), hits = byId('hits');
  const kinds = [...document.querySelectorAll('input[name=kind]')];
  const state = { q: '', kind: '', reason: '', page: 1 };
  const number = new Intl.NumberFormat('en').format;
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

  const seedOf = (reference) => data.seeds[-1 - reference];

  function instructionOf(row) {
    const own = row[INSTRUCTION];
    if (typeof own === 'string') return own;
    return own < 0 ? seedOf(own)[1] : data.instructions[own][0];
  }

  const placeOf = (row) => `${data.files[row[KIND]]}:${row[LINE]}`;

  // What a search looks through; made at the first one, since most of the texts may never be seen.
  let texts = null;
  function textOf(index) {
    texts ??= data.rows.map((row) =>
      [instructionOf(row), row[INPUT], row[OUTPUT]].join('\n').toLowerCase());
    return texts[index];
  }

  // A key or a place is found only whole: a number would be in half of the keys.
  const has = (row, index, word) =>
    textOf(index).includes(word) || word === row[KEY] || word === placeOf(row);

  // --- search

  function wordsOf(text) {
    const parts = text.toLowerCase().match(/["“”][^"“”]+["“”]|\S+/g) || [];
    return parts.map((one) => one.replace(/^["“”]+|["“”]+$/g, '')).filter(Boolean);
  }

  function search() {
    words = wordsOf(state.q);
    const counts = new Map([['', 0]]);
    const reasons = new Map();
    found = [];
    data.rows.forEach((row, index) => {
      if (words.length && !words.every((word) => has(row, index, word))) return;
      const kind = data.kinds[row[KIND]];
      counts.set('', counts.get('') + 1);
      counts.set(kind, (counts.get(kind) || 0) + 1);
      if (state.kind && kind !== state.kind) return;
      if (row[REASON] !== null) reasons.set(row[REASON], (reasons.get(row[REASON]) || 0) + 1);
      if (!state.reason || row[REASON] === state.reason) found.push(row);
    });
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
    if (q.value !== state.q) q.value = state.q;
    show();
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
    const all = data.rows.length;
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

  const NAMES = {
    'row': 'finetuning row',
    'instruction': 'accepted instruction',
    'refused instance': 'refused instance',
    'refused instruction': 'refused instruction',
  };

  function rowOf(row) {
    const button = make('button', { type: 'button', 'aria-expanded': 'false' }, 'Where from?');
    const line = make('tr', { role: 'row' },
      cell('Instruction', instructionOf(row)),
      cell('Input', row[INPUT]),
      cell('Output', row[OUTPUT]),
      make('td', { role: 'cell', className: 'became', 'data-label': 'What became of it' },
        make('b', null, NAMES[data.kinds[row[KIND]]]),
        row[REASON] === null ? null : make('span', { className: 'why' }, row[REASON]),
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
    const way = make('div', { className: 'way' });
    const add = (...children) => way.append(make('p', null, ...children));
    add(make('code', null, placeOf(row)), row[KEY] ? ' · answer ' : '',
      row[KEY] ? make('code', null, row[KEY]) : '');
    const own = row[INSTRUCTION];
    let prompt = row[PROMPT], round = row[ROUND];
    if (typeof own === 'number' && own < 0) {
      add('A seed task’s own instance: ', make('code', null, seedOf(own)[0]),
        ` (${data.seedFile}:${-own}).`);
    } else if (typeof own === 'number') {
      const [, made, shown, , classification] = data.instructions[own];
      [prompt, round] = [shown, made];
      const kind = classification === null ? ''
        : classification ? ', a classification task' : ', not a classification task';
      add('Its instruction: ',
        make('code', null, `${data.files[data.kinds.indexOf('instruction')]}:${own + 1}`),
        `, accepted in round ${round}${kind}.`);
    }
    if (prompt !== null) {
      const reached = seedsBehind(prompt).size;
      add(`Its prompt (round ${round}) showed these; they go back to ${number(reached)} seed tasks.`);
      way.append(shownIn(prompt));
    } else if (typeof own !== 'number' || own >= 0) {
      add('What its instruction came from is not known: no row names what its prompt showed.');
    }
    add('Everything about it: ', make('code', null, `seedbed trace ${placeOf(row)}`));
    return way;
  }

  function shownIn(prompt) {
    const list = make('ol');
    for (const reference of data.prompts[prompt]) {
      if (typeof reference === 'string') {
        list.append(make('li', null, reference, ' (not found: has a file changed since?)'));
      } else if (reference < 0) {
        const [id, text] = seedOf(reference);
        list.append(make('li', null, text, ' ', make('code', null, id)));
      } else {
        const [text, round, behind] = data.instructions[reference];
        if (behind === null) {
          list.append(make('li', null, text, ' ', make('code', null, `round ${round}`)));
          continue;
        }
        const details = make('details', null,
          make('summary', null, text, ' ', make('code', null, `round ${round}`)));
        details.addEventListener('toggle', () => {
          if (details.open && details.children.length === 1) details.append(shownIn(behind));
        });
        list.append(make('li', null, details));
      }
    }
    return list;
  }

  function seedsBehind(prompt) {
    const seeds = new Set(), seen = new Set([prompt]), todo = [prompt];
    while (todo.length) {
      for (const reference of data.prompts[todo.pop()]) {
        if (reference < 0) seeds.add(reference);
        else if (typeof reference === 'number') {
          const behind = data.instructions[reference][2];
          if (behind !== null && !seen.has(behind)) {
            seen.add(behind);
            todo.push(behind);
          }
        }
      }
    }
    return seeds;
  }

  // --- the address keeps the search: #q=word&kind=row&reason=duplicate&page=2

  function fromAddress() {
    const hash = location.hash.slice(1);
    if (!hash.includes('=')) return false; // a section of the page
    const given = new URLSearchParams(hash);
    state.q = given.get('q') || '';
    state.kind = data.kinds.includes(given.get('kind')) ? given.get('kind') : '';
    state.reason = given.get('reason') || '';
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
