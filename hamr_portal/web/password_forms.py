"""What is typed to change a password, and when is it not looked at?"""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm


class ChangeForm(ChangePasswordForm):  # type: ignore[misc]
    """The current password and another one."""

    def clean_oldpassword(self) -> str:
        """Take the right one; a wrong one counts, and goes on the record, as one on signing in again does."""
        typed: str = self.cleaned_data["oldpassword"]
        if not get_adapter().reauthenticate(self.user, typed):
            raise get_adapter().validation_error("enter_current_password")
        return typed
