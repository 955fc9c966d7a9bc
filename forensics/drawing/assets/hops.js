// The graph: what is drawn, what is chosen, and the ways of the keyboard through it.
const data = JSON.parse(document.getElementById("data").textContent);
const nodeById = new Map(data.nodes.map((node) => [node.id, node]));
const lineById = new Map(data.lines.map((line) => [line.id, line]));
const many = data.nodes.length + data.lines.length > 600;

const cy = cytoscape({
  container: document.getElementById("canvas"),
  layout: { name: "preset", fit: false },
  minZoom: 0.02,
  maxZoom: 4,
  // While very many are moved, a picture of them is moved instead.
  textureOnViewport: many,
  hideEdgesOnViewport: many,
  elements: [
    ...data.nodes.map((node) => ({ group: "nodes", data: node, position: { x: node.x, y: node.y } })),
    ...data.lines.map((line) => ({ group: "edges", data: line })),
  ],
  style: [
    { selector: "node", style: {
      "shape": "data(shape)", "width": "data(w)", "height": "data(h)", "background-color": "data(fill)",
      "border-color": "data(stroke)", "border-width": "data(border)", "color": "data(ink)", "label": "data(label)",
      "text-wrap": "wrap", "text-valign": "center", "font-family": data.fonts, "font-size": 8.5, "min-zoomed-font-size": 3 } },
    { selector: 'node[role = "upstream"]', style: { "border-style": "double", "border-width": 4, "border-color": "#cbb6d6" } },
    { selector: "node[?group]", style: { "border-style": "dashed" } },
    { selector: "edge", style: {
      "width": "data(width)", "line-color": "data(colour)", "line-style": "data(dash)", "target-arrow-color": "data(colour)",
      "target-arrow-shape": "triangle", "arrow-scale": 0.9, "curve-style": "bezier", "font-family": data.fonts,
      "font-size": 8, "label": "data(label)", "text-wrap": "wrap", "text-background-color": "#ffffff",
      "text-background-opacity": 1, "text-background-padding": 1, "color": "data(colour)", "min-zoomed-font-size": 3 } },
    { selector: "edge[?chained]", style: { "underlay-color": data.band, "underlay-opacity": 1, "underlay-padding": 5, "text-background-color": data.band } },
    { selector: "edge[weights.length > 0]", style: {
      "curve-style": "segments", "edge-distances": "node-position",
      "source-endpoint": (edge) => edge.data("from"), "target-endpoint": (edge) => edge.data("to"),
      "segment-weights": (edge) => edge.data("weights"), "segment-distances": (edge) => edge.data("distances") } },
    // Of the very many, the lines of what is chosen stand out.
    { selector: "edge[?of]", style: { "curve-style": "straight", "arrow-scale": 0.6, "opacity": 0.12 } },
    { selector: "edge.near", style: { "opacity": 1 } },
    // A node's line to itself must reach out of the node, however wide that is.
    { selector: "edge:loop", style: { "control-point-step-size": (edge) => edge.source().data("w") } },
    { selector: ".faded", style: { "opacity": 0.18 } },
    { selector: ".hidden", style: { "display": "none" } },
    { selector: ":selected", style: { "overlay-color": "#c43c00", "overlay-opacity": 0.22, "overlay-padding": 5 } },
  ],
});

// What the filters left. Asked by class: item.visible() is right only from the next frame on.
const drawn = (items) => items.not(".hidden");
const isDrawn = (item) => item.nonempty() && !item.hasClass("hidden");
const showAll = () => cy.fit(drawn(cy.elements()), 24);

// Bring an item into view: near enough to be read, and in the middle.
const look = (item) => {
  if (cy.zoom() < 0.7) cy.zoom(0.9);
  cy.center(item);
};

// Tell of a node or a line, and mark it; of what is taken together, the card or line that stands for it is marked.
const choose = (id, focus = true) => {
  const line = lineById.get(id);
  const about = line || nodeById.get(id);
  if (!about) return;
  let item = cy.getElementById(id);
  if (!isDrawn(item) && about.of) item = cy.getElementById(about.of);
  cy.elements(":selected").unselect();
  item.select();
  cy.edges(".near").removeClass("near");
  item.union(item.connectedEdges()).edges().addClass("near");
  const parts = isDrawn(item) ? [] : [element("p", say("The filters hide it in the graph."), "note")];
  const within = data[line ? "lines" : "nodes"].filter((other) => other.of === id);
  const lines = line ? [] : data.lines.filter((l) => !l.group && (l.source === id || l.target === id));
  parts.push(...(line ? panel.lineParts(line.about) : panel.nodeParts(about.about)));
  parts.push(...panel.links(say("Taken together here"), within, choose), ...panel.links(say("Lines"), lines, choose));
  panel.show(about.about.title, parts, focus);
};

// The nearest node that is shown in the direction of an arrow key; going straight counts for more than being near.
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const neighbour = (from, [dx, dy]) => {
  let best = null;
  let least = Infinity;
  const here = from.position();
  drawn(cy.nodes()).forEach((node) => {
    const x = node.position("x") - here.x;
    const y = node.position("y") - here.y;
    const along = x * dx + y * dy;
    const cost = along + 2 * Math.abs(x * dy - y * dx);
    if (along > 1 && cost < least) { best = node; least = cost; }
  });
  return best;
};
const zoomBy = (factor) => cy.zoom({ level: cy.zoom() * factor, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
const onGraphKey = (event) => {
  const chosen = drawn(cy.nodes(":selected"));
  if (event.key in ARROWS) {
    const next = chosen.length ? neighbour(chosen[0], ARROWS[event.key]) : drawn(cy.nodes())[0];
    if (next) { choose(next.id(), false); look(next); }
  } else if (event.key === "Enter" && chosen.length) panel.focus();
  else if (event.key === "+") zoomBy(1.25);
  else if (event.key === "-") zoomBy(0.8);
  else if (event.key === "0") showAll();
  else return;
  event.preventDefault();
};

cy.on("tap", "node, edge", (event) => { panel.forget(); choose(event.target.id()); });
document.getElementById("graph").addEventListener("keydown", onGraphKey);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  cy.elements(":selected").unselect();
  cy.edges(".near").removeClass("near");
  panel.clear();
});
document.getElementById("fit").addEventListener("click", showAll);
