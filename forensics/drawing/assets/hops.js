"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const details = document.getElementById("details");
  const start = details.innerHTML; // our own words, no word of the evidence
  let opener = null; // where the keyboard goes back to

  // Evidence is only ever set as text, never as markup.
  const element = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const button = (text, act) => {
    const made = element("button", text);
    made.type = "button";
    made.addEventListener("click", () => { opener = made; act(); });
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
  const list = (items, kind) => {
    const made = element("ul", undefined, kind);
    items.forEach((item) => { const entry = element("li"); entry.append(item); made.append(entry); });
    return made;
  };
  const evidence = (rows) => list(rows.map(([file, records, hash]) => {
    const entry = element("div");
    entry.append(element("div", file, "file"), element("div", `records ${records}`), element("div", `SHA-256 ${hash}`, "hash"));
    return entry;
  }), "evidence");

  const nodeParts = (about, lines) => {
    const parts = [facts(about.rows)];
    if (about.reasons.length) parts.push(element("h3", "Reasons"), list(about.reasons, "reasons"));
    if (lines.length) parts.push(element("h3", "Lines"), list(lines.map((line) => button(line.about.title, () => choose(line.id)))));
    return parts;
  };
  const lineParts = (about) => about.parts.flatMap((part) => {
    const made = [element("h3", part.tier), facts(part.rows)];
    if (part.reasons.length) made.push(element("h3", "Reason"), list(part.reasons, "reasons"));
    if (part.evidence.length) made.push(element("h3", "Evidence"), evidence(part.evidence));
    return made;
  });
  const show = (title, parts) => {
    details.replaceChildren(element("h2", title), ...parts);
    details.focus({ preventScroll: false });
  };

  const cy = cytoscape({
    container: document.getElementById("graph"),
    layout: { name: "preset", fit: true, padding: 24 },
    minZoom: 0.05,
    maxZoom: 4,
    elements: [
      ...data.nodes.map((node) => ({ group: "nodes", data: node, position: { x: node.x, y: node.y } })),
      ...data.lines.map((line) => ({ group: "edges", data: line })),
    ],
    style: [
      { selector: "node", style: {
        "shape": "data(shape)", "width": "data(w)", "height": "data(h)", "background-color": "data(fill)",
        "border-color": "data(stroke)", "border-width": "data(border)", "color": "data(ink)", "label": "data(label)",
        "text-wrap": "wrap", "text-valign": "center", "font-family": data.fonts, "font-size": 8.5 } },
      { selector: 'node[role = "upstream"]', style: { "border-style": "double", "border-width": 4, "border-color": "#cbb6d6" } },
      { selector: "edge", style: {
        "width": "data(width)", "line-color": "data(colour)", "line-style": "data(dash)", "target-arrow-color": "data(colour)",
        "target-arrow-shape": "triangle", "arrow-scale": 0.9, "curve-style": "bezier", "font-family": data.fonts,
        "font-size": 8, "label": "data(label)", "text-wrap": "wrap", "text-background-color": "#ffffff",
        "text-background-opacity": 1, "text-background-padding": 1, "color": "data(colour)" } },
      { selector: "edge[?chained]", style: { "underlay-color": data.band, "underlay-opacity": 1, "underlay-padding": 5, "text-background-color": data.band } },
      { selector: "edge[weights.length > 0]", style: {
        "curve-style": "segments", "edge-distances": "node-position",
        "source-endpoint": (edge) => edge.data("from"), "target-endpoint": (edge) => edge.data("to"),
        "segment-weights": (edge) => edge.data("weights"), "segment-distances": (edge) => edge.data("distances") } },
      // A node's line to itself must reach out of the node, however wide that is.
      { selector: "edge:loop", style: { "control-point-step-size": (edge) => edge.source().data("w") } },
      { selector: "node:selected", style: { "overlay-color": "#c43c00", "overlay-opacity": 0.22, "overlay-padding": 5 } },
      { selector: "edge:selected", style: { "overlay-color": "#c43c00", "overlay-opacity": 0.22, "overlay-padding": 5 } },
    ],
  });

  const lineById = new Map(data.lines.map((line) => [line.id, line]));
  const nodeById = new Map(data.nodes.map((node) => [node.id, node]));
  function choose(id) {
    cy.elements().unselect();
    cy.getElementById(id).select();
    const line = lineById.get(id);
    if (line) { show(line.about.title, lineParts(line.about)); return; }
    const node = nodeById.get(id);
    if (node) show(node.about.title, nodeParts(node.about, data.lines.filter((l) => l.source === id || l.target === id)));
  }
  function clear() {
    cy.elements().unselect();
    details.innerHTML = start;
    if (opener && opener.isConnected) opener.focus();
  }
  cy.on("tap", "node, edge", (event) => { opener = null; choose(event.target.id()); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
  document.getElementById("fit").addEventListener("click", () => cy.fit(cy.elements(":visible"), 24));

  const entries = new Map();
  const enter = (place, id, text) => {
    const entry = element("li");
    entry.append(button(text, () => choose(id)));
    document.getElementById(place).append(entry);
    entries.set(id, entry);
  };
  data.nodes.forEach((node) => enter("nodes", node.id, node.label.split("\n").join(" \u00b7 ")));
  data.lines.forEach((line) => enter("lines", line.id, line.about.title));
  document.getElementById("passed").hidden = data.proxies.length === 0;
  data.proxies.forEach((proxy) => {
    const entry = element("li");
    entry.append(button(`${proxy.tag} \u00b7 ${proxy.about.title}`, () => show(proxy.about.title, nodeParts(proxy.about, []))));
    document.getElementById("proxies").append(entry);
  });

  const filter = () => {
    const off = (name) => new Set([...document.querySelectorAll(`input[data-${name}]:not(:checked)`)].map((box) => box.dataset[name]));
    const roles = off("role");
    const tiers = off("tier");
    cy.batch(() => {
      cy.nodes().forEach((node) => { node.style("display", roles.has(node.data("role")) ? "none" : "element"); });
      cy.edges().forEach((edge) => { edge.style("display", edge.data("tiers").every((tier) => tiers.has(tier)) ? "none" : "element"); });
    });
    cy.elements().forEach((item) => { entries.get(item.id()).hidden = !item.visible(); });
    const count = (items) => items.filter(":visible").length;
    document.documentElement.dataset.drawn = `${count(cy.nodes())} nodes, ${count(cy.edges())} lines`;
  };
  document.querySelectorAll("fieldset input").forEach((box) => box.addEventListener("change", filter));
  cy.ready(() => {
    filter();
    if (location.hash) choose(location.hash.slice(1)); // hops.html#n3 opens a node
  });
})();
