"use strict";
// A text in the page's language, its blanks filled in.
const say = (text, values = {}) => (data.words[text] || text).replace(/\{(\w+)\}/g, (_, name) => values[name]);

// The panel that tells what is known of a node or a line. Evidence is only ever set as text, never as markup.
const element = (tag, text, kind) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

const panel = (() => {
  const place = document.getElementById("details");
  const words = [...place.childNodes]; // what stands there while nothing is chosen
  let opener = null; // where the keyboard goes back to

  const button = (text, act) => {
    const made = element("button", text);
    made.type = "button";
    made.addEventListener("click", () => { opener = made; act(); });
    return made;
  };
  const list = (items, kind) => {
    const made = element("ul", undefined, kind);
    items.forEach((item) => { const entry = element("li"); entry.append(item); made.append(entry); });
    return made;
  };
  const facts = (rows) => {
    const table = element("table");
    rows.forEach(([name, value]) => {
      const made = element("tr");
      made.append(element("th", name), element("td", value));
      table.append(made);
    });
    return table;
  };
  const evidence = (rows) => list(rows.map(([file, records, hash]) => {
    const entry = element("div");
    entry.append(element("div", file, "file"), element("div", say("records {records}", { records })), element("div", `SHA-256 ${hash}`, "hash"));
    return entry;
  }), "evidence");
  const links = (title, items, choose) => items.length
    ? [element("h3", title), list(items.map((item) => button(item.about.title, () => choose(item.id))))]
    : [];

  const nodeParts = (about) => {
    const parts = [facts(about.rows)];
    if (about.reasons.length) parts.push(element("h3", say("Reasons")), list(about.reasons, "reasons"));
    return parts;
  };
  const lineParts = (about) => about.parts.flatMap((part) => {
    const made = [element("h3", part.tier), facts(part.rows)];
    if (part.reasons.length) made.push(element("h3", say("Reason")), list(part.reasons, "reasons"));
    if (part.evidence.length) made.push(element("h3", say("Evidence")), evidence(part.evidence));
    return made;
  });

  const show = (title, parts, focus) => {
    place.replaceChildren(element("h2", title), ...parts);
    place.scrollTop = 0;
    if (focus) place.focus();
  };
  const clear = () => {
    place.replaceChildren(...words);
    if (opener && opener.isConnected) opener.focus();
  };
  const forget = () => { opener = null; };
  return { button, links, nodeParts, lineParts, show, clear, forget, focus: () => place.focus() };
})();
