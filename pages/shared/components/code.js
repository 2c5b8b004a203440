// Puts the code of all components on the shelf; each is loaded when a component first asks for it.
export default function ({ data }) {
  for (const [name, source] of Object.entries(JSON.parse(new TextDecoder().decode(data)))) {
    const place = shelved(name);
    if (place.brought) continue;
    place.brought = true;
    place.bring(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  }
}
