/* Starts what the sign-in library brings for security keys: which form, which button and what is asked for stand in
   the form's data- attributes, so that no page holds a script. */
(() => {
  const form = document.querySelector("[data-security-key]");
  if (!form) return;
  const show = (name) => document.querySelector(`[data-key-${name}]`)?.removeAttribute("hidden");
  if (!window.PublicKeyCredential || !window.isSecureContext) return show("missing");
  document.addEventListener("allauth.error", (e) => {
    e.preventDefault();
    show("refused");
  });
  const button = form.dataset.button, kind = form.dataset.securityKey;
  window.allauth.webauthn.forms[`${kind}Form`]({
    ids: { [kind]: button, credential: form.querySelector("[name=credential]").id },
    data: JSON.parse(form.dataset.asked),
  });
})();
