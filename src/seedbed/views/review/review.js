// One question at a time. Whatever a model wrote gets into the page by textContent alone, never as
// markup (the page's policy would not allow it either). An answer is on the disk before the page
// goes on to the next question.
'use strict';
const byId = (id) => document.getElementById(id);
let state = null;
let busy = false;

function make(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// What the server says. said: null to ask, an object to tell it something.
async function ask(what, said) {
  const options = said === null ? {} : {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(said),
  };
  let response;
  try {
    response = await fetch(what, { ...options, credentials: 'omit' });
  } catch {
    throw new Error(`The server is gone${said === null ? '' : ', and this was not kept'}. `
      + 'Run `seedbed review` again and open its new address: it goes on from here.');
  }
  const told = await response.json().catch(() => ({
    error: 'The server refused it. Open the address that `seedbed review` said.',
  }));
  if (!response.ok) throw new Error(`${said === null ? '' : 'This was not kept. '}${told.error}`);
  return told;
}

// One thing at a time: a key that is hit meanwhile is not an answer to what nobody has seen yet.
async function go(what, said = null) {
  if (busy) return;
  busy = true;
  try {
    const told = await ask(what, said);
    byId('error').hidden = true;
    state = told;
    show();
  } catch (error) {
    byId('error').textContent = error.message;
    byId('error').hidden = false;
  } finally {
    busy = false;
  }
}

const at = (place) => go(`state?place=${place}`);
const step = (by) => {
  const place = state.place + by;
  if (place >= 0 && place <= state.of) at(place);
};
const asked = () => (state.questions || []).find((one) => one.place === state.place);
const say = (answer, place = state.place) => go('answer', { place, answer });

function show() {
  const { place, of, done, questions = [], texts = [] } = state;
  byId('where').textContent = place === of
    ? `All through: ${done} of ${of} questions answered`
    : `${state.blind ? 'Answer' : 'Row'} ${state.row} of ${state.rows} · ${done} of ${of} questions answered`;
  byId('progress').max = of;
  byId('progress').value = done;
  byId('texts').replaceChildren(...texts.map(([name, text]) => make('div', { className: 'shown' },
    make('h2', null, name),
    make('div', { dir: 'auto', className: text === '' ? 'nothing' : '' }, text || 'none'))));
  byId('questions').replaceChildren(...questions.map(drawn));
  if (place === of) {
    byId('questions').replaceChildren(make('p', null, done === of
      ? 'That was the last one, thank you. The answers are in ' : 'Some are left open. The answers are in ',
    make('code', null, state.file), '; Ctrl-C in the terminal ends it.'));
  }
  // On a small screen the next question may be below.
  document.querySelector('.now')?.scrollIntoView({ block: 'nearest' });
  byId('back').disabled = place === 0;
  byId('forward').disabled = place === of;
  byId('undo').disabled = done === 0;
  byId('from').disabled = place === of || state.blind;
  hide();
}

function drawn(question) {
  const now = question.place === state.place;
  return make('div', { className: now ? 'question now' : 'question' },
    make('p', null, question.words),
    make('div', { className: 'choices', role: 'group', 'aria-label': question.words },
      ...question.choices.map(([choice, meaning], number) => {
        const button = make('button', {
          type: 'button', 'aria-pressed': String(choice === question.answer),
        }, ...(now ? [make('kbd', null, String(number + 1)), ' '] : []), meaning);
        button.addEventListener('click', () => say(choice, question.place));
        return button;
      })));
}

function hide() {
  byId('origin').hidden = true;
  byId('from').setAttribute('aria-expanded', 'false');
}

async function origin() {
  if (!byId('origin').hidden) {
    hide();
    return;
  }
  const { place } = state;
  byId('origin').textContent = 'Looking …';
  byId('origin').hidden = false;
  byId('from').setAttribute('aria-expanded', 'true');
  let lines;
  try {
    ({ lines } = await ask(`origin?place=${place}`, null));
  } catch (error) {
    lines = [error.message];
  }
  if (state.place === place) byId('origin').textContent = lines.join('\n');
}

const undo = () => go('undo', {});
byId('back').addEventListener('click', () => step(-1));
byId('forward').addEventListener('click', () => step(1));
byId('undo').addEventListener('click', undo);
byId('from').addEventListener('click', origin);
addEventListener('keydown', (event) => {
  if (!state || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const choice = /^[1-4]$/.test(event.key) && asked()?.choices[event.key - 1];
  if (choice) say(choice[0]);
  else if (event.key === 'ArrowLeft' || event.key === 'Backspace') step(-1);
  else if (event.key === 'ArrowRight') step(1);
  else if (event.key === 'u' && state.done) undo();
  else if (event.key === 'o' && state.place < state.of && !state.blind) origin();
  else return;
  event.preventDefault();
});
go('state');
