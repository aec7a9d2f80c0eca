// What both pages share: elements, and requests with the token.

export const element = (id) => document.getElementById(id);

export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Of this tab only; forgotten when it is closed.
const TOKEN = "dialoom-token";

export async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) element("key").hidden = false;
  if (!answer.ok) throw new Error(await reason(answer));
  return answer;
}

async function reason(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

/** Begins, after the token is given if the server wants one. */
export async function begin(then) {
  askForToken(then);
  const health = await (await fetch("/health")).json();
  if (health.needs_token && !sessionStorage.getItem(TOKEN)) element("key").hidden = false;
  else then();
}

function askForToken(then) {
  element("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, element("token").value);
    element("key").hidden = true;
    then();
  });
}
