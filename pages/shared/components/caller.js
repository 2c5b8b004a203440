// What Streamlit sends along with each answer in place of a component's own code.
const loading = shelved(NAME).address.then((address) => import(address));

export default async function (component) {
  return (await loading).default(component);
}
