// Keeps an open page true; see package dashboard.
import { morph } from "./morph.js";
import { charts } from "./charts.js";

const { name, others } = document.body.dataset;
const says = document.getElementById("says");
let { leader, term, index } = document.body.dataset;
// Where a page stands that comes from another master, or this one.
let lastId = new URLSearchParams(location.search).get("after") ?? index + ".0";
const draw = charts(document.querySelector("[data-charts]"));

// The server escapes what it writes; nothing else ever becomes HTML here.
const policy = window.trustedTypes?.createPolicy("taskraft", { createHTML: (s) => s }) ?? { createHTML: (s) => s };

function say(text, kind) {
  const note = document.createElement("p");
  note.className = "note " + kind;
  note.textContent = text;
  says.append(note);
  while (says.children.length > 3) says.firstElementChild.remove();
  setTimeout(() => note.remove(), 20000);
}

// refresh reads the page again and changes what differs, not more often than the
// server can well answer.
let busy = false;
let again = false;
async function refresh() {
  if (!("live" in document.body.dataset) || document.hidden) return;
  again = true;
  if (busy) return;
  busy = true;
  while (again) {
    again = false;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(5000) });
      if (answer.ok) show(await answer.text());
    } catch {
      // The stream tells when the master is lost.
    }
    await new Promise((done) => setTimeout(done, Math.max(300, 4 * (performance.now() - began))));
  }
  busy = false;
}

function show(text) {
  const page = new DOMParser().parseFromString(policy.createHTML(text), "text/html");
  const main = document.getElementById("main");
  if (main.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), select, textarea")) return;
  for (const id of ["main", "where"]) morph(document.getElementById(id), page.getElementById(id));
  morph(document.querySelector("footer"), page.querySelector("footer"));
}

function hear(event) {
  const news = JSON.parse(event.data);
  lastId = event.lastEventId;
  lost = 0;
  if (document.body.classList.contains("away")) {
    document.body.classList.remove("away");
    say(name + " answers again.", "good");
  }
  if (news.leader !== leader || String(news.term) !== term) {
    if (!news.leader) say(leader + " leads no more; a new leader is being elected.", "warn");
    else if (news.leader !== leader || news.term > Number(term)) say(`${news.leader} leads now, in term ${news.term}.`, "good");
    leader = news.leader;
    term = String(news.term);
    refresh();
  }
  if (String(news.index) !== index) {
    index = String(news.index);
    refresh();
  }
  if (news.sample) draw?.add(news.sample);
}

// elsewhere finds another master that answers and goes on there, at the same place.
let lost = 0;
async function elsewhere() {
  for (const other of others.split(" ").filter(Boolean)) {
    try {
      await fetch(`http://${other}/livez`, { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(1000) });
    } catch {
      continue;
    }
    const to = new URL(location.href);
    to.host = other;
    to.searchParams.set("lost", name);
    to.searchParams.set("after", lastId);
    location.replace(to);
    return;
  }
}

function listen() {
  const stream = new EventSource("/ui/live?after=" + encodeURIComponent(lastId));
  stream.addEventListener("news", hear);
  stream.onerror = async () => {
    stream.close();
    if (!document.body.classList.contains("away")) {
      document.body.classList.add("away");
      say(name + " does not answer.", "bad");
    }
    if (++lost > 1) await elsewhere();
    setTimeout(listen, Math.min(250 * lost, 2000));
  };
}

// An address that says what is over is for nobody to keep.
const address = new URL(location.href);
if (address.searchParams.has("lost") || address.searchParams.has("after") || address.searchParams.has("said")) {
  for (const p of ["lost", "after", "said"]) address.searchParams.delete(p);
  history.replaceState(null, "", address);
}
document.addEventListener("visibilitychange", refresh);
listen();
