// Elements without markup in strings: whatever a server or a person wrote stays text.

/** An element; `on…` are listeners, other values are attributes (`true` and `false` too), children are nodes or texts. */
export function h(name, given = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

let labels = 0;

/** A control with its label above it. */
export function field(text, control) {
  control.id ||= `field-${++labels}`;
  control.classList.add('input');
  return h('p', { class: 'field' }, h('label', { for: control.id }, text), control);
}

/** A button that cannot be pressed again while what it does goes on; what fails is told by `failed`. */
export function button(text, act, given = {}, failed = report) {
  const element = h('button', { type: 'button', class: 'button', ...given }, text);
  element.addEventListener('click', async () => {
    element.setAttribute('aria-busy', 'true');
    element.disabled = true;
    try {
      await act();
    } catch (error) {
      failed(error);
    } finally {
      element.removeAttribute('aria-busy');
      element.disabled = false;
    }
  });
  return element;
}

/** A table; rows are lists of nodes or texts, of which there may be none: then `empty` says so. */
export function table(caption, heads, rows, empty) {
  if (!rows.length) return h('p', { class: 'none' }, empty);
  const head = h('tr', {}, heads.map((text) => h(text ? 'th' : 'td', text ? { scope: 'col' } : {}, text)));
  const cells = (cell, at) => h('td', { 'data-label': heads[at], class: heads[at] ? at ? null : 'lead' : 'bare' }, cell);
  const body = rows.map((row) => h('tr', {}, row.map(cells)));
  return h('div', { class: 'rows wide', tabindex: '0', role: 'group', 'aria-label': caption },
    h('table', {}, h('caption', { class: 'muted small' }, caption), h('thead', {}, head), h('tbody', {}, body)));
}

/** Replace what is in an element, and keep the focus on a button of the same name if one had it. */
export function fill(element, ...children) {
  const held = element.contains(document.activeElement) ? document.activeElement : null;
  const name = held?.getAttribute('aria-label') ?? held?.textContent;
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  if (!held || element.contains(held)) return;
  const same = [...element.querySelectorAll('button')]
    .find((each) => (each.getAttribute('aria-label') ?? each.textContent) === name);
  (same ?? element.closest('[tabindex]'))?.focus();
}

/** Tell the person of something that failed. */
export function report(error) {
  const place = document.getElementById('trouble');
  place.textContent = error instanceof TypeError ? `The service does not answer (${error.message}).` : error.message;
  place.hidden = false;
}

/** Nothing fails any more. */
export function settle() {
  document.getElementById('trouble').hidden = true;
}
