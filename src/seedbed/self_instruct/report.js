// The way of Self-Instruct's rows back to the seed tasks. What `origins` has, says `part` of report.py.
// An instruction is its number; a seed task's, -1 less its number; of neither, a text.
ways.self_instruct = (origins, { make, code, number }) => {
  const seedOf = (reference) => origins.seeds[-1 - reference];

  const text = (instruction) =>
    instruction < 0 ? seedOf(instruction)[1] : origins.instructions[instruction][0];

  // origin: the prompt and round of a refused instruction; null for other rows, or if not known.
  function tell(instruction, origin) {
    const told = [];
    const add = (...children) => told.push(make('p', null, ...children));
    let [prompt, round] = origin || [null, null];
    if (typeof instruction === 'number' && instruction < 0) {
      add('A seed task’s own instance: ', code(seedOf(instruction)[0]),
        ` (${origins.seedFile}:${-instruction}).`);
    } else if (typeof instruction === 'number') {
      const [, made, shown, classification] = origins.instructions[instruction];
      [prompt, round] = [shown, made];
      const kind = classification === null ? ''
        : classification ? ', a classification task' : ', not a classification task';
      add('Its instruction: ', code(`${origins.instructionFile}:${instruction + 1}`),
        `, accepted in round ${round}${kind}.`);
    }
    if (prompt !== null) {
      const reached = seedsBehind(prompt).size;
      add(`Its prompt (round ${round}) showed these; they go back to ${number(reached)} seed tasks.`);
      told.push(shownIn(prompt));
    } else if (typeof instruction !== 'number' || instruction >= 0) {
      add('What its instruction came from is not known: no row names what its prompt showed.');
    }
    return told;
  }

  function shownIn(prompt) {
    const list = make('ol');
    for (const reference of origins.prompts[prompt]) {
      if (typeof reference === 'string') {
        list.append(make('li', null, reference, ' (not found: has a file changed since?)'));
      } else if (reference < 0) {
        const [id, shown] = seedOf(reference);
        list.append(make('li', null, shown, ' ', code(id)));
      } else {
        const [shown, round, behind] = origins.instructions[reference];
        if (behind === null) {
          list.append(make('li', null, shown, ' ', code(`round ${round}`)));
          continue;
        }
        const details = make('details', null,
          make('summary', null, shown, ' ', code(`round ${round}`)));
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
      for (const reference of origins.prompts[todo.pop()]) {
        if (reference < 0) seeds.add(reference);
        else if (typeof reference === 'number') {
          const behind = origins.instructions[reference][2];
          if (behind !== null && !seen.has(behind)) {
            seen.add(behind);
            todo.push(behind);
          }
        }
      }
    }
    return seeds;
  }

  return { text, tell };
};
