// RapiDoc has a light and a dark theme, and chooses neither by itself.
const system = matchMedia('(prefers-color-scheme: dark)');
const element = document.querySelector('rapi-doc');

function dress() {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen ? chosen === 'dark' : system.matches;
  const colours = { theme: dark ? 'dark' : 'light', 'bg-color': dark ? '#11161a' : '#ffffff', 'text-color': dark ? '#e9edf0' : '#1b2125',
    'primary-color': dark ? '#6fd0de' : '#0b5f6b', 'nav-bg-color': dark ? '#1a2127' : '#f5f4f1', 'nav-text-color': dark ? '#e9edf0' : '#1b2125' };
  for (const [name, value] of Object.entries(colours)) element.setAttribute(name, value);
}

system.addEventListener('change', dress);
dress();

// Its forms name their fields by what stands beside them; for a screen reader they are named here.
const NAMELESS = 'input:not([aria-label]), textarea:not([aria-label]), select:not([aria-label])';
const watched = new WeakSet();

function name(root) {
  for (const field of root.querySelectorAll(NAMELESS)) {
    if (!field.labels?.length) field.setAttribute('aria-label', field.dataset.pname || field.placeholder || field.title || 'Body');
  }
  for (const inner of root.querySelectorAll('*')) if (inner.shadowRoot) attend(inner.shadowRoot);
}

function attend(root) {
  name(root);
  if (watched.has(root)) return;
  watched.add(root);
  new MutationObserver(() => name(root)).observe(root, { childList: true, subtree: true });
}

customElements.whenDefined('rapi-doc').then(() => attend(element.shadowRoot));
