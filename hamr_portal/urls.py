"""Which address shows which page?"""

from allauth.account import views as account
from django.urls import path

from hamr_portal.web import audit, changes, dashboard, errors, evidence, organizations, outcomes, page, pairs
from hamr_portal.web.access import public

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("live/", dashboard.live, name="dashboard_live"),
    path("organizations/", organizations.index, name="organizations"),
    path("organizations/new/", organizations.new, name="organization_new"),
    path("organizations/verify/", organizations.verify_all, name="organizations_verify"),
    path("organizations/<slug:name>/", organizations.detail, name="organization"),
    path("organizations/<slug:name>/edit/", organizations.edit, name="organization_edit"),
    path("organizations/<slug:name>/refresh/", organizations.refresh, name="organization_refresh"),
    path("organizations/<slug:name>/verify/", organizations.verify, name="organization_verify"),
    path("organizations/<slug:name>/disable/", organizations.disable, name="organization_disable"),
    path("organizations/<slug:name>/enable/", organizations.enable, name="organization_enable"),
    path("organizations/<slug:name>/changes/new/", changes.new, name="change_new"),
    path("changes/<int:pk>/confirm/", changes.confirm, name="change_confirm"),
    path("changes/", outcomes.index, name="changes"),
    path("changes/<int:pk>/", outcomes.detail, name="change"),
    path("changes/<int:pk>/cancel/", outcomes.cancel, name="change_cancel"),
    path("changes/<int:pk>/approve/", outcomes.approve, name="change_approve"),
    path("changes/<int:pk>/decline/", outcomes.decline, name="change_decline"),
    path("changes/<int:pk>/send/", outcomes.skip_approval, name="change_skip_approval"),
    path("changes/<int:pk>/resolve/", outcomes.resolve, name="change_resolve"),
    path("changes/<int:pk>/read/", outcomes.read, name="change_read"),
    path("changes/<int:pk>/again/", outcomes.again, name="change_again"),
    path("changes/<int:pk>/seen/", outcomes.seen, name="change_seen"),
    path("changes/outside/<int:pk>/acknowledge/", outcomes.acknowledge, name="outside_acknowledge"),
    path("pairs/<int:pk>/name/", pairs.rename, name="pair_rename"),
    path("audit/", audit.index, name="audit"),
    path("audit/verify/", audit.verify, name="audit_verify"),
    path("audit/adopt/", audit.adopt, name="audit_adopt"),
    path("audit/export/", audit.export, name="audit_export"),
    path("audit/evidence/", evidence.pack, name="evidence_pack"),
    path("audit/<int:seq>/", audit.detail, name="audit_entry"),
    path("runbook/", page.runbook, name="runbook"),
    path("theme/", page.theme, name="theme"),
    path("accounts/login/", public(account.login), name="account_login"),
    path("accounts/logout/", public(account.logout), name="account_logout"),
    path("accounts/inactive/", public(account.account_inactive), name="account_inactive"),
]
