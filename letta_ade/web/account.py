"""The person who reads the page: who that is, and another password."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from letta_ade.accounts import attempts
from letta_ade.accounts.auth import Door, client_address
from letta_ade.accounts.models import User
from letta_ade.accounts.pages import PageRequest
from letta_ade.accounts.services.users import WeakPassword, WrongPassword, change_password
from letta_ade.accounts.sessions import begin_session, logged_in_user
from letta_ade.core.errors import Forbidden
from letta_ade.web.login import too_many, tries_left


def _password_field(label: str, autocomplete: str, missing: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label,
        strip=False,
        max_length=1000,
        help_text=help_text,
        widget=forms.PasswordInput(attrs={"class": "form-control", "autocomplete": autocomplete}),
        error_messages={"required": missing},
    )


class PasswordForm(forms.Form):
    current = _password_field("Current password", "current-password", "Your current password is needed.")
    new = _password_field(
        "New password",
        "new-password",
        "A new password is needed.",
        "At least 10 characters, and none that everybody takes.",
    )
    again = _password_field("New password once more", "new-password", "Type the new password once more.")

    def clean(self) -> None:
        super().clean()
        new, again = self.cleaned_data.get("new"), self.cleaned_data.get("again")
        if new is not None and again is not None and new != again:
            self.add_error("again", "The two passwords differ.")


@sensitive_post_parameters("current", "new", "again")
@never_cache
@require_http_methods(["GET", "POST"])
def account_page(request: PageRequest) -> HttpResponse:
    """Who is here. The form changes the password, keeps this session, and ends the person's others."""
    user = logged_in_user(request)
    if request.method != "POST":
        return _page(request, user, PasswordForm())
    if user is None:
        raise Forbidden("Only who has signed in has a password to change.")
    form = PasswordForm(request.POST)
    if not form.is_valid():
        return _page(request, user, form, status=422)
    address = client_address(Door.of(request))
    if wait := attempts.passwords.begin(address, user.email):
        form.add_error("current", too_many(wait))
        return _page(request, user, form, status=429)
    try:
        change_password(user=user, current=form.cleaned_data["current"], new=form.cleaned_data["new"])
    except WrongPassword as error:
        form.add_error(
            "current", f"{error.message} {tries_left(attempts.passwords.left(address, user.email))}"
        )
        return _page(request, user, form, status=422)
    except WeakPassword as error:
        attempts.passwords.succeed(address, user.email)
        form.add_error("new", error.message)
        return _page(request, user, form, status=422)
    attempts.passwords.succeed(address, user.email)
    begin_session(request, user)
    messages.success(request, "Password changed. Your other sessions have ended.")
    return redirect("settings:account")


def _page(request: PageRequest, user: User | None, form: PasswordForm, status: int = 200) -> HttpResponse:
    context = {
        "user": user,
        "form": form,
        "session_ends": request.session.get_expiry_date() if user is not None else None,
    }
    return render(request, "settings/account.html", context, status=status)
