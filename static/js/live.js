/* What keeps an open page true: ages that run, parts that refresh themselves, and word where neither holds any more.
   Every page works without this file. Listeners are on the document, so that what is put in needs no binding. */
(() => {
  "use strict";
  const root = document.documentElement;
  const $ = (sel, from = document) => from.querySelector(sel);
  const $$ = (sel, from = document) => [...from.querySelectorAll(sel)];
  const say = (text) => { const out = $("#announce"); if (out) out.textContent = text; };
  const is = (state) => root.hasAttribute(`data-${state}`);
  const REFRESHED = "[data-hx-trigger*=every]";
  const LATE_AFTER = 30_000, OLD_AFTER = 120_000;
  // Of a hidden tab one request a minute; timers there come a little early or late.
  const HIDDEN_EVERY = 55_000;

  // Ages run on the server's clock, never on the laptop's; each word from the server sets it anew.
  let ahead = Date.parse(root.dataset.now) - Date.now(), seen = Date.parse(root.dataset.now);
  const now = () => Date.now() + ahead;
  const clock = (ms) => new Date(ms).toISOString().slice(11, 19);
  const span = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (s < 60) return `${s} s`;
    if (m < 60) return `${m} min ${s % 60} s`;
    return h < 48 ? `${h} h ${m % 60} min` : `${Math.floor(h / 24)} days`;
  };
  const date = (el, ms) => {
    el.dateTime = new Date(ms).toISOString();
    el.dataset.at = clock(ms);
    if (el.dataset.age) el.dataset.age = "view";
  };
  const tick = () => {
    for (const el of $$("[data-clock]")) el.textContent = clock(now());
    for (const el of $$("[data-age]")) {
      const age = now() - Date.parse(el.dateTime), late = el.dataset.age && age > LATE_AFTER;
      if (late) el.dataset.age = "late";
      el.textContent = `${span(age)} ago${late && !is("old") ? ", late" : ""}`;
    }
    for (const el of $$("[data-until]")) {
      const left = Date.parse(el.dataset.until) - now();
      el.textContent = left > 0 ? span(left) : "over";
      if (left <= 0 && !el.dataset.over) say("The preview is over. Next: read again; your text is kept.");
      if (left <= 0) el.dataset.over = "true";
    }
    for (const el of $$("[data-lasting]")) el.textContent = `for ${el.dataset.lasting}${span(now() - Date.parse(el.dateTime))}`;
    if (now() - seen > OLD_AFTER && !is("old")) grow_old();
  };

  // The tab says what the page says: how much needs action, what has just changed, or that it is not current.
  let title = document.title, headline = "";
  const show = () => {
    const past = is("lost") ? "No contact since" : is("old") ? "Not current since" : "";
    const needs = Math.max(0, ...$$("[data-needs]").map((el) => Number(el.dataset.needs)));
    const icon = $("link[rel=icon]");
    if (!$("[data-needs]")) return;
    if (past) document.title = $("#state") ? `${past} ${clock(seen)}` : `${past} ${clock(seen)}: ${$("h1").textContent.trim()}`;
    else document.title = `${needs && !title.startsWith(`${needs} `) ? `(${needs}) ` : ""}${headline}${title}`;
    const href = past ? icon.dataset.past : needs || $(".poll--stopped") ? icon.dataset.action : icon.dataset.calm;
    if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  };

  // A page that nobody refreshes must not show an old status as a current one; the style sheet greys it.
  const grow_old = () => {
    root.toggleAttribute("data-old", true);
    if (!$(REFRESHED)) return;
    validator = "";
    if ($("#state h1")) $("#state h1").textContent = `Not current since ${clock(seen)}`;
    show();
  };

  // Refreshing: not while paused, never while a form has focus, seldom in a hidden tab, and at once where it is seen again.
  let asked = -HIDDEN_EVERY, validator = "";
  const refreshes = (e) => e.target.closest?.(REFRESHED);
  const typing = () => Boolean(document.activeElement?.closest("main form"));
  const held = () => {
    root.toggleAttribute("data-held", typing());
    return is("paused") || is("held");
  };
  const resume = () => { for (const el of $$("[data-hx-trigger*=resume]")) window.htmx?.trigger(el, "resume"); };
  document.addEventListener("htmx:beforeRequest", (e) => {
    if (!refreshes(e)) return;
    if (held() || (document.hidden && performance.now() - asked < HIDDEN_EVERY)) e.preventDefault();
    else asked = performance.now();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) resume(); });
  addEventListener("online", resume);
  // Not at once: what moves must not slip under the finger that has just left the form.
  document.addEventListener("focusout", () => setTimeout(() => { if (is("held") && !typing()) resume(); }, 1000));

  // The page keeps what it was told its version is: no cache may hold it. Of the same version, only moments come back.
  document.addEventListener("htmx:configRequest", (e) => {
    if (refreshes(e) && validator) e.detail.headers["If-None-Match"] = validator;
  });
  document.addEventListener("htmx:beforeSwap", (e) => {
    const { xhr, requestConfig } = e.detail, url = new URL(xhr.responseURL || location.href);
    if (url.pathname !== requestConfig.path.split("?")[0]) {
      e.detail.shouldSwap = false;
      location.reload();
    } else if (held()) e.detail.shouldSwap = false;
    else if (xhr.status === 304) {
      e.detail.shouldSwap = false;
      const moment = Date.parse(xhr.getResponseHeader("Portal-Now")), read = Date.parse(xhr.getResponseHeader("Portal-Read-At"));
      const ages = xhr.getResponseHeader("Portal-Ages") ?? "";
      for (const el of $$("#poller [data-age]")) if (read) date(el, read);
      for (const el of $$("[data-place]")) {
        const age = Number.parseInt(ages.slice(2 * el.dataset.place, 2 * el.dataset.place + 2), 16);
        if (age >= 0) date(el, (Math.floor(moment / 1000) - age) * 1000);
      }
      in_touch(moment);
    }
  });
  document.addEventListener("htmx:oobBeforeSwap", (e) => {
    e.detail.shouldSwap = false;
    put_in(e.detail.target, e.detail.fragment.firstElementChild);
  });
  let before;
  const verdicts = () => new Map($$("[data-verdict]").map((el) => [el.dataset.name, el.dataset.verdict]));
  document.addEventListener("htmx:afterSettle", (e) => {
    if (!refreshes(e) && !e.target.dataset.needs) return;
    validator = e.detail.xhr.getResponseHeader("ETag") ?? "";
    title = document.title;
    for (const el of anew.splice(0)) window.htmx.process(el);
    in_touch(Date.parse(e.detail.xhr.getResponseHeader("Portal-Now")));
  });

  // After word from the server: the moment, and one quiet line for each verdict that changed.
  const in_touch = (moment) => {
    ahead = moment - Date.now();
    seen = moment;
    for (const state of ["lost", "old"]) root.removeAttribute(`data-${state}`);
    for (const el of $$("[data-seen]")) {
      el.textContent = el.dataset.seen ? `${new Date(moment).toISOString().slice(0, 10)} ${clock(moment)}` : clock(moment);
    }
    const after = verdicts(), news = [...after].filter(([name, verdict]) => before.has(name) && before.get(name) !== verdict);
    const lines = (found) => found.map(([name, verdict]) => `${name}: ${verdict}`).join(". ");
    const untitled = lines(news.filter(([, verdict]) => !title.includes(verdict)));
    if (news.length) say(lines(news));
    if (untitled || !document.hidden) headline = untitled && `${untitled} · `;
    before = after;
    tick();
    show();
  };
  const lose = () => {
    if (!is("lost")) say(`No contact with the portal since ${clock(seen)}`);
    root.toggleAttribute("data-lost", true);
    show();
  };
  for (const kind of ["sendError", "responseError", "timeout", "swapError"]) document.addEventListener(`htmx:${kind}`, lose);

  // Pause live updates (WCAG 2.2.2)
  document.addEventListener("click", (e) => {
    if (!e.target.closest("[data-pause]")) return;
    const pausing = root.toggleAttribute("data-paused");
    say(pausing ? "Updates paused" : "Updates on");
    if (!pausing) resume();
  });

  // Only what differs is put in: focus, scrolled boxes, open rows and half a word stay where they are.
  const anew = [];
  const put_in = (old, fresh) => {
    const focus = document.activeElement;
    if (old.id === "change" && offered(old) !== offered(fresh)) {
      for (const el of $$("[checked]", fresh)) el.removeAttribute("checked");
      old.replaceWith(fresh);
    } else if (old.nodeName !== fresh.nodeName) old.replaceWith(fresh);
    else renew(old, fresh);
    if (document.activeElement === focus) return;
    (focus.isConnected ? focus : document.getElementById(focus.id))?.focus({ preventScroll: true });
  };
  // The choice of a status stays as it is while the same is offered; else nothing is chosen, not another one by itself.
  const offered = (el) => el.matches("form") ? $$(".badge, [type=radio]", el).map((each) => each.value ?? each.className + each.textContent).join() : el.textContent;
  const renew = (old, fresh) => {
    if (old.isEqualNode(fresh) || old.nodeName === "NOSCRIPT") return;
    if (old.nodeType !== Node.ELEMENT_NODE) { old.data = fresh.data; return; }
    if (old.hasAttribute("data-hx-preserve") && fresh.hasAttribute("data-hx-preserve")) return;
    const was = old.dataset.hxTrigger;
    for (const name of new Set([...old.getAttributeNames(), ...fresh.getAttributeNames()])) {
      if (name === "open" || old.getAttribute(name) === fresh.getAttribute(name)) continue;
      if (fresh.hasAttribute(name)) old.setAttribute(name, fresh.getAttribute(name)); else old.removeAttribute(name);
    }
    if (old.dataset.hxTrigger !== was) anew.push(old);
    renew_inside(old, fresh);
  };
  // What leads or sends elsewhere is not the same: a link that has focus must not become another one. A row is known by
  // what is named or leads on in it, wherever it moved; what has no name, by its place.
  const name_of = (el) => el.id || ["aria-labelledby", "href", "action"].map((name) => el.getAttribute(name)).find(Boolean);
  const known_as = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    const named = !name_of(node) && node.matches("li, tr") ? $("[id], a[href]", node) : node;
    return named && name_of(named) ? `${node.nodeName} ${name_of(named)}` : "";
  };
  const renew_inside = (old, fresh) => {
    const wanted = new Set([...fresh.children].map(known_as));
    for (const el of [...old.children]) if (known_as(el) && !wanted.has(known_as(el))) el.remove();
    const known = new Map([...old.children].filter(known_as).map((el) => [known_as(el), el]));
    let place = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const name = known_as(next), here = place && !known_as(place) ? place : null;
      const same = name ? known.get(name) : here;
      if (same?.nodeName !== next.nodeName) { old.insertBefore(next, place); continue; }
      if (same === place) place = place.nextSibling;
      else (old.moveBefore ?? old.insertBefore).call(old, same, place);
      renew(same, next);
    }
    while (place) { const rest = place; place = place.nextSibling; rest.remove(); }
  };

  before = verdicts();
  if (seen) { setInterval(tick, 1000); show(); }
})();
