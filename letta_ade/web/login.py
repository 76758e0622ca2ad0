"""Signing in and out."""

from __future__ import annotations

import math

from django import forms
from django.contrib.auth import authenticate, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from letta_ade.accounts import attempts
from letta_ade.accounts.auth import Door, client_address
from letta_ade.accounts.models import User
from letta_ade.accounts.sessions import begin_session, logged_in_user


class LoginForm(forms.Form):
    email = forms.EmailField(
        error_messages={"required": "An email is needed.", "invalid": "This is not an email."}
    )
    password = forms.CharField(strip=False, error_messages={"required": "A password is needed."})


@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    """The login page; a right answer leads to where the person wanted to go."""
    target = _target(request)
    if request.method != "POST":
        if logged_in_user(request) is not None:
            return redirect(target)
        return _page(request, LoginForm(), target)
    form = LoginForm(request.POST)
    if not form.is_valid():
        return _page(request, form, target, status=422)
    email = form.cleaned_data["email"].strip().lower()
    address = client_address(Door.of(request))
    if wait := attempts.passwords.begin(address, email):
        form.add_error("password", too_many(wait))
        return _page(request, form, target, status=429)
    user = authenticate(request, username=email, password=form.cleaned_data["password"])
    if not isinstance(user, User):
        left = attempts.passwords.left(address, email)
        form.add_error("password", f"Email and password do not match. {tries_left(left)}")
        return _page(request, form, target, status=422)
    attempts.passwords.succeed(address, email)
    begin_session(request, user)
    return redirect(target)


def too_many(wait_seconds: float) -> str:
    """The sentence for who has guessed too often."""
    return f"Too many wrong passwords. Try again in {math.ceil(wait_seconds / 60)} min."


def tries_left(left: int) -> str:
    """The sentence after a wrong guess."""
    return f"{left} {'try' if left == 1 else 'tries'} left."


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("web:login")


def _page(request: HttpRequest, form: LoginForm, target: str, status: int = 200) -> HttpResponse:
    context = {"form": form, "target": target, "host": request.get_host()}
    return render(request, "login.html", context, status=status)


def _target(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    allowed = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None, require_https=False)
    return wanted if wanted and allowed else resolve_url("web:home")
