// Where the page keeps the addresses of its components' code: asked for and brought in any order.
function shelved(name) {
  const shelf = (window.diffusionShelf ??= new Map());
  if (!shelf.has(name)) {
    const place = {};
    place.address = new Promise((bring) => { place.bring = bring; });
    shelf.set(name, place);
  }
  return shelf.get(name);
}
