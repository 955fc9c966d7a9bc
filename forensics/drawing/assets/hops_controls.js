// What is shown: filters, time, search and lists; and the view as a file.
const byId = (id) => document.getElementById(id);
const items = [...data.nodes, ...data.lines];
const first = byId("from");
const last = byId("until");
const entries = new Map();

const enter = (place, item, text) => {
  const entry = element("li");
  entry.append(panel.button(text, () => choose(item.id)));
  byId(place).append(entry);
  entries.set(item.id, entry);
};
data.nodes.forEach((node) => enter("nodes", node, node.label.split("\n").join(" \u00b7 ")));
data.lines.forEach((line) => enter("lines", line, line.about.title));
byId("passed").hidden = data.proxies.length === 0;
data.proxies.forEach((proxy) => {
  const entry = element("li");
  const tell = () => panel.show(proxy.about.title, panel.nodeParts(proxy.about), true);
  entry.append(panel.button(`${proxy.tag} \u00b7 ${proxy.about.title}`, tell));
  byId("proxies").append(entry);
});

// Filters and time: what was not on record by then, or no longer, is not shown. What has no time is always shown.
const off = (name) => new Set([...document.querySelectorAll(`input[data-${name}]:not(:checked)`)].map((box) => box.dataset[name]));
const shownNow = () => {
  const [roles, tiers] = [off("role"), off("tier")];
  const together = byId("together").checked;
  const [from, until] = data.steps.length ? [data.steps[first.value][0], data.steps[last.value][0]] : [0, 0];
  const inTime = ({ when: [start, end] }) => (start === null || start <= until) && (end === null || end >= from);
  const here = (item) => inTime(item) && (together ? !item.of : !item.group);
  const nodes = new Set(data.nodes.filter((n) => here(n) && !roles.has(n.role)).map((n) => n.id));
  const lines = data.lines.filter((l) => here(l) && !l.tiers.every((t) => tiers.has(t)) && nodes.has(l.source) && nodes.has(l.target));
  return { nodes, lines: new Set(lines.map((l) => l.id)) };
};
let shown = { nodes: new Set(), lines: new Set() };
const isShown = (id) => shown.nodes.has(id) || shown.lines.has(id);

const plain = (text) => text.normalize("NFKC").toLowerCase(); // full-width letters are found as ordinary ones
const told = ({ rows, reasons, evidence = [] }) => [...rows.map((row) => row[1]), ...reasons, ...evidence.flat()];
const wordsOf = ({ label, about }) => plain([label, about.title, ...(about.parts || [about]).flatMap(told)].join("\n"));
const words = new Map(items.map((item) => [item.id, wordsOf(item)]));
let found = null; // ids that the search finds; null while nothing is searched
let place = -1;

const update = () => {
  shown = shownNow();
  cy.batch(() => cy.elements().forEach((item) => {
    item.toggleClass("hidden", !isShown(item.id()));
    item.toggleClass("faded", found !== null && !found.has(item.id()));
  }));
  entries.forEach((entry, id) => { entry.hidden = found === null ? !isShown(id) : !found.has(id); });
  if (data.steps.length) byId("times").textContent = say("{first} to {last}", { first: data.steps[first.value][1], last: data.steps[last.value][1] });
  document.documentElement.dataset.drawn = `${shown.nodes.size} nodes, ${shown.lines.size} lines`;
};

const search = () => {
  const asked = plain(byId("search").value.trim());
  found = asked ? new Set(items.filter((item) => words.get(item.id).includes(asked)).map((item) => item.id)) : null;
  // A card or a line that stands for others is found with them.
  if (found) items.forEach((item) => { if (item.of && found.has(item.id)) found.add(item.of); });
  place = -1;
  if (found) ["nodes", "lines"].forEach((id) => { byId(id).parentElement.open = true; });
  update();
  const hidden = found ? [...found].filter((id) => !isShown(id)).length : 0;
  const told = hidden ? say("{count} found, {hidden} of them not shown in the graph", { count: found.size, hidden }) : "";
  byId("found").textContent = found ? told || say("{count} found", { count: found.size }) : "";
};
const next = () => {
  const hits = found ? items.filter((item) => found.has(item.id) && isShown(item.id)) : [];
  const all = hits.length || !found ? hits : items.filter((item) => found.has(item.id));
  if (!all.length) return;
  place = (place + 1) % all.length;
  choose(all[place].id, false);
  const chosen = drawn(cy.elements(":selected"));
  if (chosen.length) look(chosen);
};

const save = (name, blob) => {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
const viewed = () => ({
  ...data.heading,
  view: {
    times: data.steps.length ? [data.steps[first.value][1], data.steps[last.value][1]] : null,
    roles_hidden: [...off("role")],
    tiers_hidden: [...off("tier")],
    search: byId("search").value,
  },
  nodes: data.nodes.filter((n) => shown.nodes.has(n.id)).map((n) => ({ id: n.id, role: n.role, ...n.about })),
  lines: data.lines.filter((l) => shown.lines.has(l.id)).map((l) => ({ from: l.source, to: l.target, tiers: l.tiers, ...l.about })),
});

byId("time").hidden = data.steps.length < 2;
[first, last].forEach((slider, end) => {
  slider.max = Math.max(0, data.steps.length - 1);
  slider.value = end ? slider.max : 0;
  slider.addEventListener("input", () => {
    // The two ends never cross: the one that moves takes the other along.
    if (Number(first.value) > Number(last.value)) (end ? first : last).value = slider.value;
    [first, last].forEach((s) => s.setAttribute("aria-valuetext", data.steps[s.value][1]));
    update();
  });
});
document.querySelectorAll("input[type=checkbox]").forEach((box) => box.addEventListener("change", update));
byId("together").addEventListener("change", showAll);
byId("search").addEventListener("input", search);
byId("search").addEventListener("keydown", (event) => { if (event.key === "Enter") next(); });
byId("save-png").addEventListener("click", () => save("hops-view.png", cy.png({ output: "blob", bg: "#ffffff", scale: 2 })));
byId("save-json").addEventListener("click", () => save("hops-view.json", new Blob([JSON.stringify(viewed(), null, 1)], { type: "application/json" })));
cy.ready(() => {
  update();
  showAll();
  if (location.hash) choose(location.hash.slice(1)); // hops.html#n3 opens a node
});
