// morph makes the children of one element those of another, changing only what
// differs: what has the focus, is chosen or scrolled stays so.
export function morph(from, to) {
  const rest = new Map();
  for (const child of from.children) if (child.id) rest.set(child.id, child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let have = wanted.id ? rest.get(wanted.id) : at;
    if (have && !wanted.id && have.id && rest.has(have.id)) have = null;
    if (have && same(have, wanted)) {
      rest.delete(have.id);
      if (have === at) at = at.nextSibling;
      else from.insertBefore(have, at);
      update(have, wanted);
    } else {
      from.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
  for (const gone of rest.values()) if (gone.parentNode === from && !to.querySelector("#" + CSS.escape(gone.id))) gone.remove();
}

const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");

function update(have, wanted) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== wanted.data) have.data = wanted.data;
    return;
  }
  if (have.hasAttribute("data-charts")) return; // charts.js has it
  for (const { name } of [...have.attributes]) if (!wanted.hasAttribute(name)) have.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  morph(have, wanted);
}
