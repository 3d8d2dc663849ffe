/* Small comforts. Every page works without this file; the server checks everything again.
   Listeners are on the document, so that what htmx swaps in needs no binding. */
(() => {
  "use strict";
  const root = document.documentElement;
  const $ = (sel, from = document) => from.querySelector(sel);
  const $$ = (sel, from = document) => [...from.querySelectorAll(sel)];
  const say = (text) => { const out = $("#announce"); if (out) out.textContent = text; };
  root.toggleAttribute("data-script", true);

  // Ages run on the server's clock, never on the laptop's; each refresh sets it anew.
  let ahead = Date.parse(root.dataset.now) - Date.now(), seen = Date.parse(root.dataset.now);
  const now = () => Date.now() + ahead;
  const clock = (ms) => new Date(ms).toISOString().slice(11, 19);
  const span = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (s < 60) return `${s} s`;
    if (m < 60) return `${m} min ${s % 60} s`;
    return h < 48 ? `${h} h ${m % 60} min` : `${Math.floor(h / 24)} days`;
  };
  const paused = () => root.hasAttribute("data-paused");
  const tick = () => {
    for (const el of $$("[data-clock]")) el.textContent = clock(now());
    for (const el of $$("[data-age]")) {
      const age = now() - Date.parse(el.dateTime), late = el.dataset.age && age > LATE_AFTER;
      if (late) el.dataset.age = "late";
      el.textContent = `${span(age)} ago${late && !is_old() ? ", late" : ""}`;
    }
    for (const el of $$("[data-until]")) {
      const left = Date.parse(el.dataset.until) - now();
      el.textContent = left > 0 ? span(left) : "over";
      if (left <= 0 && !el.dataset.over) say("The preview is over. Next: read again; your text is kept.");
      if (left <= 0) el.dataset.over = "true";
    }
    for (const el of $$("[data-lasting]")) el.textContent = `for ${span(now() - Date.parse(el.dateTime))}`;
    if (now() - seen > OLD_AFTER && !is_old()) grow_old();
  };

  // A page that nobody refreshes must not show an old status as a current one; the style sheet greys it.
  const LATE_AFTER = 30_000, OLD_AFTER = 120_000;
  const is_old = () => root.hasAttribute("data-old");
  const grow_old = () => {
    root.toggleAttribute("data-old", true);
    if (!$("[data-hx-trigger*=every]")) return;
    const words = `Not current since ${clock(seen)}`, title = $("#state h1");
    document.title = title ? words : `${words}: ${$("h1").textContent.trim()}`;
    if (title) title.textContent = words;
  };
  if (seen) setInterval(tick, 1000);

  // Refreshing: not while paused, not while somebody types in what would be swapped, and never from another page.
  const refreshes = (e) => e.target.closest?.("[data-hx-trigger*=every]");
  const typing = (within) => {
    const el = document.activeElement;
    return el?.matches("input, select, textarea") && within.contains(el);
  };
  document.addEventListener("htmx:beforeRequest", (e) => {
    if (refreshes(e) && (paused() || typing(e.target))) e.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (e) => {
    const url = new URL(e.detail.xhr.responseURL || location.href);
    if (url.pathname !== e.detail.requestConfig.path.split("?")[0]) {
      e.detail.shouldSwap = false;
      location.reload();
    } else if (paused() || typing(e.detail.target)) e.detail.shouldSwap = false;
  });
  // The choice of a status stays as it is while the same is offered; else nothing is chosen, not another one by itself.
  const offered = (el) => el.matches("form") ? $$(".badge, [type=radio]", el).map((each) => each.value ?? each.className + each.textContent).join() : el.textContent;
  document.addEventListener("htmx:oobBeforeSwap", (e) => {
    const after = $("#change", e.detail.fragment);
    if (!after || e.detail.target.id !== "change") return;
    e.detail.shouldSwap = !paused() && offered(after) !== offered(e.detail.target);
    if (e.detail.target.matches("form")) for (const el of $$("[checked]", after)) el.removeAttribute("checked");
  });
  const lost = () => root.toggleAttribute("data-lost", true);
  for (const kind of ["sendError", "responseError", "timeout", "swapError"]) document.addEventListener(`htmx:${kind}`, lost);

  // After a refresh: the clock, and one quiet line for each verdict that changed.
  const verdicts = () => new Map($$("[data-verdict]").map((el) => [el.dataset.name, el.dataset.verdict]));
  let before = verdicts();
  document.addEventListener("htmx:afterSettle", () => {
    const moment = Date.parse($("#poller")?.dataset.now);
    if (!moment || moment === seen) return;
    ahead = moment - Date.now();
    seen = moment;
    root.removeAttribute("data-lost");
    root.removeAttribute("data-old");
    const after = verdicts(), news = [...after].filter(([name, verdict]) => before.has(name) && before.get(name) !== verdict);
    if (news.length) say(news.map(([name, verdict]) => `${name}: ${verdict}`).join(". "));
    before = after;
    tick();
  });

  // A list of facts as plain lines, for the incident's channel.
  const line = (el) => el.textContent.replace(/\s+/g, " ").trim();
  const facts = (id) => $$(`#${id} > dt`).map((dt) => `${line(dt)}: ${line(dt.nextElementSibling)}`).join("\n");

  document.addEventListener("click", async (e) => {
    // Pause live updates (WCAG 2.2.2)
    if (e.target.closest("[data-pause]")) {
      const pausing = root.toggleAttribute("data-paused");
      say(pausing ? "Updates paused" : "Updates on");
      if (!pausing) for (const el of $$("[data-hx-trigger*=resume]")) window.htmx?.trigger(el, "resume");
    }
    // A row of the audit log opens in place; its number leads to its own page.
    const row = e.target.closest(".expand");
    if (row) {
      const opening = row.getAttribute("aria-expanded") !== "true";
      row.setAttribute("aria-expanded", String(opening));
      row.closest("tr").classList.toggle("open", opening);
      document.getElementById(row.getAttribute("aria-controls")).hidden = !opening;
    }
    const copy = e.target.closest("[data-copy], [data-copy-from]");
    if (copy) try { await navigator.clipboard.writeText(copy.dataset.copy ?? facts(copy.dataset.copyFrom)); say("Copied"); } catch { say("Copy failed"); }
  });

  // Theme: auto, light, dark. The server reads the cookie and sets data-theme, so no flash.
  const themes = ["auto", "light", "dark"];
  document.addEventListener("submit", (e) => {
    if (!e.target.matches("[data-theme-form]")) return;
    e.preventDefault();
    const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % 3];
    if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
    document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
    $("[data-theme-name]", e.target).textContent = next[0].toUpperCase() + next.slice(1);
  });

  // Confirmation: say what is left; the button is never a dead end, and sends once.
  const done = (el) => el.type === "checkbox" ? el.checked : "match" in el.dataset ? el.value.trim() === el.dataset.match : el.value.trim() !== "";
  const check = (form) => {
    const need = $$("[data-need]", form), left = need.filter((el) => !done(el)), words = $("[data-left]", form);
    const name = need.find((el) => "match" in el.dataset), match = $("[data-match-out]", form);
    $("[data-commit]", form).setAttribute("aria-disabled", String(left.length > 0));
    words.textContent = left.length ? `${left.length} of ${need.length} still to fill in` : form.dataset.ready;
    match.classList.toggle("match--yes", done(name));
    match.textContent = done(name) ? "Matches" : name.value ? "Does not match yet" : "Must match exactly";
    return left;
  };
  document.addEventListener("input", (e) => {
    const form = e.target.closest("[data-confirm]");
    if (form) check(form);
  });
  document.addEventListener("submit", (e) => {
    const form = e.target;
    if (!form.matches("[data-confirm]")) return;
    if (form.dataset.sent) { e.preventDefault(); return; }
    if (e.submitter?.formNoValidate) return;
    const left = check(form);
    if (left.length) {
      e.preventDefault();
      left[0].focus();
      say($("[data-left]", form).textContent);
      return;
    }
    form.dataset.sent = "true";
    $("[data-commit]", form).setAttribute("aria-disabled", "true");
    $("[data-left]", form).textContent = form.dataset.sending;
    say(form.dataset.sending);
  });
  for (const form of $$("[data-confirm]")) check(form);
  // Back from where the form led: what it shows is from before, and its form may be used.
  addEventListener("pageshow", (e) => { if (e.persisted && $("[data-confirm]")) location.reload(); });

  // An address that names a disclosure opens it.
  const open = () => {
    const named = document.getElementById(location.hash.slice(1));
    if (named?.matches("details")) named.open = true;
  };
  addEventListener("hashchange", open);
  addEventListener("load", open);

  // After a failed submit, start at the list of errors; an address with #edit would take the focus until the end.
  addEventListener("load", () => $(".errsum")?.focus());
})();
