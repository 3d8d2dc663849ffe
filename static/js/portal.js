/* Small comforts. Every page works without this file; the server checks everything again.
   Listeners are on the document, so that what htmx swaps in needs no binding. */
(() => {
  "use strict";
  const root = document.documentElement;
  const $ = (sel, from = document) => from.querySelector(sel);
  const $$ = (sel, from = document) => [...from.querySelectorAll(sel)];
  const say = (text) => { const out = $("#announce"); if (out) out.textContent = text; };
  root.toggleAttribute("data-script", true);

  // A list of facts as plain lines, for the incident's channel.
  const line = (el) => el.textContent.replace(/\s+/g, " ").trim();
  const facts = (id) => $$(`#${id} > dt`).map((dt) => `${line(dt)}: ${line(dt.nextElementSibling)}`).join("\n");

  document.addEventListener("click", async (e) => {
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
